import { connectNats } from "../source/connect.ts";

/** A connection to NATS for somebody who only publishes. */
export interface NatsPublisher {
  publish(subject: string, data: Uint8Array): void;
  /** Resolves when NATS has everything that was published. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/**
 * Connects to NATS for measurements.
 *
 * @param url may have a user and a password, or a token.
 * @param creds the content of a credentials file.
 * @throws SpillwayError `NATS_OPTIONS` (invalid), `NATS_DENIED` or `NATS_UNREACHABLE` (transient).
 */
export async function connectPublisher(
  url: string,
  creds: string | undefined,
): Promise<NatsPublisher> {
  const connection = await connectNats({ servers: [url], name: "spillway bench", creds });
  return {
    publish: (subject, data) => connection.publish(subject, data),
    flush: () => connection.flush(),
    close: () => connection.close(),
  };
}
