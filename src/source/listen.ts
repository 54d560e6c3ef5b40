import type { Msg, NatsConnection, Subscription } from "./connect.ts";

/** The callbacks of a subscription that {@linkcode listen} makes. */
export interface Listening {
  readonly queue?: string;
  message(msg: Msg): void;
  /** NATS refuses the subscription, or ends it. */
  failed(error: Error): void;
}

/** Counts an error of ours. */
export type ReportFault = (thrown: unknown) => void;

/**
 * Subscribes. All callbacks that the NATS client gets are made here: none of them throws, or it would
 * stop reading its socket, for everybody.
 *
 * @param fault called with what was thrown in place of the client.
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

/** A subject of our own for answers. */
export function newInbox(): string {
  return `_INBOX.${crypto.randomUUID().replaceAll("-", "")}`;
}
