import { afterEach } from "bun:test";
import { type Connection, type ConnectOptions, connect } from "spillway/client";
import { type Gateway, startGateway } from "../../support/gateway-process.ts";
import type { Target } from "../../support/runtimes.ts";
import { untilReady } from "./gateway-fixture.ts";
import { useNatsServer } from "./nats-server-fixture.ts";

/** The payload of a message that {@linkcode useClients} publishes. */
export interface Numbered {
  readonly n: number;
}

/** Returns the numbers from the first to the last as texts. */
export function numbers(first: number, last: number): string[] {
  return Array.from({ length: last - first + 1 }, (_, index) => `${first + index}`);
}

/** Gives the tests of a block NATS, gateways and clients, which end after each test. */
export function useClients(target: Target, options: ConnectOptions = {}) {
  const nats = useNatsServer({ jetstream: true });
  const connections: Connection[] = [];
  const gateways: Gateway[] = [];
  afterEach(async () => {
    for (const connection of connections.splice(0)) await connection.close();
    for (const gateway of gateways.splice(0)) await gateway.stop();
  });
  return {
    nats,
    open(url: string, more: ConnectOptions = {}): Connection {
      const retry = { firstMs: 50, mostMs: 200 };
      const connection = connect(url, { retry, ...options, ...more });
      connections.push(connection);
      return connection;
    },
    async start(more: object, args: readonly string[] = []): Promise<Gateway> {
      const config = { nats_url: nats.server.url, ...more };
      const gateway = await startGateway(target, { config, args });
      gateways.push(gateway);
      await untilReady(gateway);
      return gateway;
    },
    /** Makes a stream of the subjects below its name in small letters. @returns that name. */
    async stream(name: string): Promise<string> {
      const manager = await nats.connection.jetstreamManager();
      const subject = name.toLowerCase();
      await manager.streams.add({ name, subjects: [`${subject}.>`] });
      return subject;
    },
    /** Publishes messages with the numbers from the first to the last. */
    async publish(subject: string, first: number, last: number): Promise<void> {
      const jetstream = nats.connection.jetstream();
      for (let n = first; n <= last; n++) await jetstream.publish(subject, JSON.stringify({ n }));
    },
  };
}
