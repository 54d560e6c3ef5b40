import type { JetStreamManager, NatsConnection, StreamConfig } from "nats";
import { flushed } from "../../support/nats-connection.ts";
import type { NatsServer, NatsServerOptions } from "../../support/nats-server.ts";
import type { Said } from "../../support/v1-client.ts";
import { useNatsServer } from "./nats-server-fixture.ts";

/** A real NATS server that keeps streams, with a publisher, for the tests of one `describe`. */
export interface StreamFixture {
  readonly server: NatsServer;
  readonly url: string;
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  /** Makes a stream, of which subjects are all below its name in small letters without more. */
  create(name: string, more?: Partial<StreamConfig>): Promise<void>;
  /** Publishes `{"n":0}`, `{"n":1}` …, or from another number on, and returns when the stream has them. */
  fill(subject: string, count: number, from?: number): Promise<void>;
  /** Waits until nothing but these many consumers are there. */
  consumers(stream: string): Promise<number>;
}

/** Starts a NATS server with JetStream before the tests of this `describe` and ends it after them. */
export function useStreams(options: NatsServerOptions = {}): StreamFixture {
  let manager: JetStreamManager | undefined;
  const nats = useNatsServer({ ...options, jetstream: true }, async (connection) => {
    manager = await connection.jetstreamManager();
  });
  return {
    get server() {
      return nats.server;
    },
    get url() {
      return nats.server.url;
    },
    get connection() {
      return nats.connection;
    },
    get manager() {
      return manager!;
    },
    async create(name, more = {}) {
      await manager!.streams.add({ name, subjects: [`${name.toLowerCase()}.>`], ...more });
    },
    async fill(subject, count, from = 0) {
      const stream = nats.connection.jetstream();
      // The server may have been restarted.
      await flushed(nats.connection);
      // So many at a time are confirmed together.
      for (let n = from; n < from + count; n += 1000) {
        const some = Array.from({ length: Math.min(1000, from + count - n) }, (_, index) =>
          stream.publish(subject, JSON.stringify({ n: n + index })),
        );
        await Promise.all(some);
      }
    },
    async consumers(stream) {
      return (await manager!.streams.info(stream)).state.consumer_count;
    },
  };
}

/** The `n` of a message that {@linkcode StreamFixture.fill} published. */
export function numberOf({ payload }: { readonly payload?: unknown } | Said): number {
  return (payload as { n: number } | undefined)?.n ?? -1;
}

/** A stream's sequence in a cursor. */
export function sequenceOf(id: unknown): number {
  return Number(String(id).split(":").at(-1));
}
