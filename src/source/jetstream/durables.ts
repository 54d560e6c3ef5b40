import type { Log } from "../../core/ports/log.ts";
import type {
  DurableListener,
  DurableQuery,
  Durables,
  DurableUse,
} from "../../core/ports/source.ts";
import { type DurableBounds, JetStreamDurable } from "./durable.ts";
import type { StreamApi } from "./stream-api.ts";

/** A settlement that waits for a connection: where it goes, and what it says. */
type Unsent = readonly [receipt: string, body: string];

/** More are not kept while there is no connection: JetStream then sends those messages again. */
const MOST_UNSENT = 100_000;

/** Clients' durables, each of which is a consumer of JetStream's that is acknowledged. */
export class JetStreamDurables implements Durables {
  readonly #bounds: DurableBounds;
  readonly #log: Log;
  readonly #links = new Set<JetStreamDurable>();
  readonly #unsent: Unsent[] = [];
  #api: StreamApi | undefined;

  constructor(bounds: DurableBounds, log: Log) {
    this.#bounds = bounds;
    this.#log = log;
  }

  get used(): number {
    return this.#links.size;
  }

  use(query: DurableQuery, listener: DurableListener): DurableUse {
    const link = new JetStreamDurable(query, listener, this.#bounds, this.#log, {
      send: (receipt, body) => this.#send(receipt, body),
      released: (released) => this.#links.delete(released),
    });
    this.#links.add(link);
    if (this.#api !== undefined) void link.open(this.#api);
    return link;
  }

  /** Goes on with all of them on a connection; what was settled meanwhile arrives first. */
  open(api: StreamApi): void {
    this.#api = api;
    for (const [receipt, body] of this.#unsent.splice(0)) this.#send(receipt, body);
    for (const link of this.#links) void link.open(api);
  }

  /** The connection is gone. */
  close(): void {
    this.#api = undefined;
    for (const link of this.#links) link.close();
  }

  /** Nothing more comes; what is settled still arrives. */
  drain(): void {
    for (const link of this.#links) link.close();
  }

  #send(receipt: string, body: string): void {
    try {
      if (this.#api !== undefined) {
        this.#api.connection.publish(receipt, body);
        return;
      }
    } catch {
      // The connection is closed, and nobody has told us yet.
    }
    if (this.#unsent.length < MOST_UNSENT) this.#unsent.push([receipt, body]);
  }
}
