import { afterAll, beforeAll } from "bun:test";
import { connect, type NatsConnection } from "nats";
import {
  type NatsServer,
  type NatsServerOptions,
  startNatsServer,
} from "../../support/nats-server.ts";

/** A real NATS server and a connection of the test's own to it, for the tests of one `describe`. */
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
    connection = await connect({
      servers: server.url,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 20,
    });
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
