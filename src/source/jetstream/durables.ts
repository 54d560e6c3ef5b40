import type { Log } from "../../core/ports/log.ts";
import type {
  DurableListener,
  DurableQuery,
  Durables,
  DurableUse,
} from "../../core/ports/source.ts";
import { type DurableBounds, JetStreamDurable } from "./durable.ts";
import { DurableCensus } from "./durable-census.ts";
import type { StreamApi } from "./stream-api.ts";

/** A settlement that waits for a connection: its subject and its text. */
type Unsent = readonly [receipt: string, body: string];

/** The most settlements that wait. JetStream sends the messages of any others again. */
const MOST_UNSENT = 100_000;

/** The durables of clients, each of which is a durable consumer of JetStream. */
export class JetStreamDurables implements Durables {
  readonly #bounds: DurableBounds;
  readonly #log: Log;
  readonly #durables = new Set<JetStreamDurable>();
  readonly #unsent: Unsent[] = [];
  readonly #census: DurableCensus;
  #api: StreamApi | undefined;
  /** Whether nothing is delivered any more on the present connection. */
  #isDrained = false;

  constructor(bounds: DurableBounds, log: Log) {
    this.#bounds = bounds;
    this.#log = log;
    this.#census = new DurableCensus(bounds);
  }

  get used(): number {
    return this.#durables.size;
  }

  use(query: DurableQuery, listener: DurableListener): DurableUse {
    const durable = new JetStreamDurable(query, listener, this.#bounds, this.#log, {
      send: (receipt, body) => this.#send(receipt, body),
      released: (released) => this.#durables.delete(released),
      census: this.#census,
    });
    this.#durables.add(durable);
    if (this.#api !== undefined && !this.#isDrained) void durable.open(this.#api);
    return durable;
  }

  /** Continues with all of them on a connection, after it sent the settlements that waited. */
  open(api: StreamApi): void {
    this.#api = api;
    this.#isDrained = false;
    for (const [receipt, body] of this.#unsent.splice(0)) this.#send(receipt, body);
    for (const durable of this.#durables) void durable.open(api);
  }

  /** The connection is lost. */
  close(): void {
    this.#api = undefined;
    for (const durable of this.#durables) durable.close();
  }

  /** Delivers nothing more; settlements still arrive. */
  drain(): void {
    this.#isDrained = true;
    for (const durable of this.#durables) durable.close();
  }

  #send(receipt: string, body: string): void {
    try {
      if (this.#api !== undefined) {
        this.#api.connection.publish(receipt, body);
        return;
      }
    } catch {
      // The connection is closed, and `close` follows.
    }
    if (this.#unsent.length < MOST_UNSENT) this.#unsent.push([receipt, body]);
  }
}
