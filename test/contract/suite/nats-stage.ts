import { afterAll, beforeAll } from "bun:test";
import { connect, type MsgHdrs, type NatsConnection } from "nats";
import {
  type NatsServer,
  type NatsServerOptions,
  startNatsServer,
} from "../../support/nats-server.ts";
import type { Envelope, Subscriber } from "../../support/subscriber.ts";

/** How many messages a client that keeps up is behind at most. */
const BATCH = 50;

/** A real NATS server with a publisher, for the tests of one `describe`. */
export interface NatsStage {
  readonly server: NatsServer;
  readonly url: string;
  publish(subject: string, data?: string | Uint8Array, headers?: MsgHdrs): void;
  /** Publishes `count` payloads `{"n":0,…}`, `{"n":1,…}` of about so many bytes each. */
  flood(subject: string, count: number, bytes: number): Promise<void>;
  /**
   * The same, never further ahead of this client than a batch: it keeps up whatever it takes.
   *
   * @returns the numbers that the client got.
   */
  floodInStep(client: Subscriber, subject: string, count: number, bytes: number): Promise<number[]>;
  /** Returns when the server has all that was published. */
  flush(): Promise<void>;
}

/** Starts a NATS server before the tests of this `describe` and ends it after them. */
export function useNats(options: NatsServerOptions = {}): NatsStage {
  let server: NatsServer | undefined;
  let publisher: NatsConnection | undefined;
  beforeAll(async () => {
    server = await startNatsServer(options);
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
    publish: (subject, data, headers) =>
      publisher!.publish(subject, data, headers === undefined ? {} : { headers }),
    async flood(subject, count, bytes) {
      for (let n = 0; n < count; n++) publisher!.publish(subject, numbered(n, bytes));
      await publisher!.flush();
    },
    async floodInStep(client, subject, count, bytes) {
      const got: number[] = [];
      for (let n = 0; n < count; n++) {
        publisher!.publish(subject, numbered(n, bytes));
        if (n % BATCH === BATCH - 1) got.push(...numbersOf(await client.take(BATCH)));
      }
      return [...got, ...numbersOf(await client.take(count % BATCH))];
    },
    flush: () => publisher!.flush(),
  };
}

function numbered(n: number, bytes: number): string {
  return `{"n":${n},"x":"${"x".repeat(Math.max(0, bytes - 20))}"}`;
}

/** The `n` of each envelope that {@linkcode NatsStage.flood} published. */
export function numbersOf(envelopes: readonly Envelope[]): number[] {
  return envelopes.map(({ payload }) => (payload as { n: number }).n);
}

/** 0, 1, 2 … */
export function countTo(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n);
}
