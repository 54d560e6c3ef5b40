import type { Msg, NatsConnection, Subscription } from "./connect.ts";

/** The callbacks of a subscription that {@linkcode listen} makes. */
export interface Listening {
  readonly queue?: string;
  message(msg: Msg): void;
  /** NATS refused the subscription, or ended it. */
  failed(error: Error): void;
}

/** Counts an internal error. */
export type ReportFault = (thrown: unknown) => void;

/**
 * Subscribes. Makes every callback that the NATS client gets: none of them throws, as the client would then stop
 * reading its socket.
 *
 * @param fault takes what `message` and `failed` throw.
 */
export function listen(
  connection: NatsConnection,
  subject: string,
  { queue, message, failed }: Listening,
  fault: ReportFault,
): Subscription {
  return connection.subscribe(subject, {
    ...(queue !== undefined && { queue }),
    callback: (error, msg) => {
      try {
        if (error === null) message(msg);
        else failed(error);
      } catch (thrown) {
        fault(thrown);
      }
    },
  });
}

/** Makes a new subject for answers. */
export function newInbox(): string {
  return `_INBOX.${crypto.randomUUID().replaceAll("-", "")}`;
}
