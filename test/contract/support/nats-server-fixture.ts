import { afterAll, beforeAll } from "bun:test";
import type { NatsConnection } from "nats";
import { connectLasting } from "../../support/nats-connection.ts";
import {
  type NatsServer,
  type NatsServerOptions,
  startNatsServer,
} from "../../support/nats-server.ts";

/**
 * A real NATS server and a connection of the test's own to it, for the tests of one `describe`. After a restart the
 * connection is back once {@linkcode flushed} says so.
 */
export interface NatsServerFixture {
  readonly server: NatsServer;
  readonly connection: NatsConnection;
}

/**
 * Starts a NATS server before the tests of this `describe` and ends it after them.
 *
 * @param opened - what else is to be done before the tests.
 */
export function useNatsServer(
  options: NatsServerOptions,
  opened: (connection: NatsConnection) => void | Promise<void> = () => {},
): NatsServerFixture {
  let server: NatsServer | undefined;
  let connection: NatsConnection | undefined;
  beforeAll(async () => {
    server = await startNatsServer(options);
    connection = await connectLasting(server.url);
    await opened(connection);
  });
  afterAll(async () => {
    await connection?.close();
    await server?.stop();
  });
  return {
    get server() {
      return server!;
    },
    get connection() {
      return connection!;
    },
  };
}
