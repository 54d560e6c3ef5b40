import { connect, type NatsConnection } from "nats";
import { until } from "./event-log.ts";

/**
 * How long one attempt to connect may take, in milliseconds. nats.js doesn't notice that a server which is about to stop
 * closes the connection before it has answered the login, and waits for that answer: by default for 20 s, which is
 * longer than tests wait for anything.
 */
const ATTEMPT_MS = 2_000;
const PAUSE_MS = 20;

/** Connects a test to NATS; the connection comes back by itself whenever a server does. */
export async function connectLasting(
  servers: string | readonly string[],
  login: { readonly user?: string; readonly pass?: string } = {},
): Promise<NatsConnection> {
  return await connect({
    ...login,
    servers: [servers].flat(),
    timeout: ATTEMPT_MS,
    waitOnFirstConnect: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: PAUSE_MS,
  });
}

/**
 * Waits until the server has all that was published, and answers. Where the server was restarted, waits until the
 * connection is back: nats.js fails a flush with each attempt to connect.
 */
export async function flushed(connection: NatsConnection): Promise<void> {
  const flush = async (): Promise<boolean> => {
    if (connection.isClosed()) throw new Error("the test's connection to NATS is closed");
    return await connection.flush().then(
      () => true,
      () => false,
    );
  };
  await until("answer of NATS to a flush", flush, (isDone) => isDone);
}
