import type { MsgHdrs } from "nats";
import { flushed } from "../../support/nats-connection.ts";
import type { NatsServer, NatsServerOptions } from "../../support/nats-server.ts";
import type { Envelope, Subscriber } from "../../support/subscriber.ts";
import { useNatsServer } from "./nats-server-fixture.ts";

/** How many messages a client that keeps up is behind at most. */
const BATCH = 50;

/** A real NATS server with a publisher, for the tests of one `describe`. */
export interface NatsFixture {
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
export function useNats(options: NatsServerOptions = {}): NatsFixture {
  const nats = useNatsServer(options);
  return {
    get server() {
      return nats.server;
    },
    get url() {
      return nats.server.url;
    },
    publish: (subject, data, headers) =>
      nats.connection.publish(subject, data, headers === undefined ? {} : { headers }),
    async flood(subject, count, bytes) {
      for (let n = 0; n < count; n++) nats.connection.publish(subject, numbered(n, bytes));
      await flushed(nats.connection);
    },
    async floodInStep(client, subject, count, bytes) {
      const got: number[] = [];
      for (let n = 0; n < count; n++) {
        nats.connection.publish(subject, numbered(n, bytes));
        if (n % BATCH === BATCH - 1) got.push(...numbersOf(await client.take(BATCH)));
      }
      return [...got, ...numbersOf(await client.take(count % BATCH))];
    },
    flush: () => flushed(nats.connection),
  };
}

function numbered(n: number, bytes: number): string {
  return `{"n":${n},"x":"${"x".repeat(Math.max(0, bytes - 20))}"}`;
}

/** The `n` of each envelope that {@linkcode NatsFixture.flood} published. */
export function numbersOf(envelopes: readonly Envelope[]): number[] {
  return envelopes.map(({ payload }) => (payload as { n: number }).n);
}

/** 0, 1, 2 … */
export function countTo(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n);
}
