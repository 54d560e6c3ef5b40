import { afterAll, beforeAll } from "bun:test";
import { connect, type NatsConnection } from "nats";
import { type NatsServer, startNatsServer } from "../../support/nats-server.ts";
import type { Envelope } from "../../support/subscriber.ts";

/** A real NATS server with a publisher, for the tests of one `describe`. */
export interface NatsStage {
  readonly server: NatsServer;
  readonly url: string;
  publish(subject: string, data?: string | Uint8Array): void;
  /** Publishes `count` payloads `{"n":0,…}`, `{"n":1,…}` of about so many bytes each. */
  flood(subject: string, count: number, bytes: number): Promise<void>;
  /** Returns when the server has all that was published. */
  flush(): Promise<void>;
}

/** Starts a NATS server before the tests of this `describe` and ends it after them. */
export function useNats(): NatsStage {
  let server: NatsServer | undefined;
  let publisher: NatsConnection | undefined;
  beforeAll(async () => {
    server = await startNatsServer();
    publisher = await connect({ servers: server.url, maxReconnectAttempts: -1 });
  });
  afterAll(async () => {
    await publisher?.close();
    await server?.stop();
  });
  return {
    get server() {
      return server!;
    },
    get url() {
      return server!.url;
    },
    publish: (subject, data) => publisher!.publish(subject, data),
    async flood(subject, count, bytes) {
      const filler = "x".repeat(Math.max(0, bytes - 20));
      for (let n = 0; n < count; n++) publisher!.publish(subject, `{"n":${n},"x":"${filler}"}`);
      await publisher!.flush();
    },
    flush: () => publisher!.flush(),
  };
}

/** The `n` of each envelope that {@linkcode NatsStage.flood} published. */
export function numbersOf(envelopes: readonly Envelope[]): number[] {
  return envelopes.map(({ payload }) => (payload as { n: number }).n);
}

/** 0, 1, 2 … */
export function countTo(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n);
}
