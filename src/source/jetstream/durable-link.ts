import type { Log } from "../../core/ports/log.ts";
import type {
  DurableListener,
  DurableQuery,
  DurableUse,
  Settlement,
} from "../../core/ports/source.ts";
import { natsReason } from "../connect.ts";
import { Patterns } from "../patterns.ts";
import { Backoff, pause, unlessAborted } from "../retry.ts";
import { type DurableBounds, ensureDurable } from "./durable-consumer.ts";
import { Patience } from "./patience.ts";
import { Pull } from "./pull.ts";
import { nanoseconds, type StreamApi } from "./stream-api.ts";
import { UnsettledMessage } from "./stream-message.ts";
import { Tenancy } from "./tenancy.ts";

export type { DurableBounds } from "./durable-consumer.ts";

/** What JetStream understands, see ADR-15. */
const WORDS: Readonly<Record<Settlement, string>> = {
  ack: "+ACK",
  nack: "-NAK",
  working: "+WPI",
  term: "+TERM",
};

interface Office {
  /** Sends a settlement, now or when there is a connection. */
  send(receipt: string, body: string): void;
  released(link: DurableLink): void;
}

/** One client's use of one consumer: asks it for messages, one request at a time. */
export class DurableLink implements DurableUse {
  readonly #query: DurableQuery;
  readonly #listener: DurableListener;
  readonly #bounds: DurableBounds;
  readonly #log: Log;
  readonly #office: Office;
  readonly #patterns = new Patterns();
  readonly #tenancy: Tenancy;
  #stopping = new AbortController();
  #isReleased = false;
  /** Of the stream when it was last looked at. */
  #origin: string | undefined;
  /** On the connection that there is. */
  #pull: Pull | undefined;

  constructor(
    query: DurableQuery,
    listener: DurableListener,
    bounds: DurableBounds,
    log: Log,
    office: Office,
  ) {
    this.#query = query;
    this.#listener = listener;
    this.#bounds = bounds;
    this.#log = log;
    this.#office = office;
    this.#tenancy = new Tenancy(query, () => listener.taken());
    for (const subject of query.subjects) this.#patterns.add(subject);
  }

  settle(receipt: string, as: Settlement, delayMs = 0): void {
    const delay = as === "nack" && delayMs > 0;
    const body = delay ? ` {"delay": ${nanoseconds(Math.ceil(delayMs))}}` : "";
    this.#office.send(receipt, `${WORDS[as]}${body}`);
  }

  resume(): void {
    this.#pull?.ask();
  }

  release(): void {
    this.#isReleased = true;
    this.close();
    this.#office.released(this);
  }

  /** Asks for messages on a connection, until `close`. */
  async open(api: StreamApi): Promise<void> {
    this.close();
    this.#stopping = new AbortController();
    const { signal } = this.#stopping;
    const retries = new Backoff();
    const patience = new Patience();
    let problem: string | undefined;
    const { name, stream } = this.#query;
    while (!signal.aborted && !this.#isReleased) {
      try {
        const reason = await this.#serve(api, signal, () => {
          retries.reset();
          patience.reset();
          problem = undefined;
        });
        if (signal.aborted) return;
        if (reason !== undefined && patience.isOver(reason)) throw reason;
        this.#log.info("Asking for durable {name} of {stream} anew: {reason}", {
          name,
          stream,
          reason: reason?.message,
        });
      } catch (thrown) {
        if (signal.aborted) return;
        const reason = natsReason(thrown);
        const about = { name, stream, reason };
        if (patience.isOver(thrown)) {
          this.release();
          this.#listener.refused("unavailable", `NATS says: ${reason}`);
          api.requests.faults.refused(`durable ${name} of ${stream} can't be used: ${reason}`);
          return;
        }
        if (reason !== problem)
          this.#log.warn("Cannot use durable {name} of {stream}: {reason}", about);
        problem = reason;
      }
      await pause(retries.next(), signal);
    }
  }

  /** The connection is gone, or the use is over: nothing of what was asked for is taken any more. */
  close(): void {
    this.#stopping.abort();
    this.#hangUp();
  }

  /** @returns why it can't go on. */
  async #serve(api: StreamApi, signal: AbortSignal, works: () => void): Promise<Error | undefined> {
    const listener = this.#listener;
    const behind = { origin: this.#origin, sequence: listener.settledUpTo };
    const found = await ensureDurable(api, this.#query, this.#bounds, behind);
    if (signal.aborted) return;
    if ("refused" in found) {
      this.release();
      listener.refused(found.refused, found.reason);
      return;
    }
    const { tip, consumer, exact, isWhole } = found;
    let { reached } = found;
    const tenancy = await this.#tenancy.begin(api.requests);
    if (signal.aborted) tenancy?.end();
    if (signal.aborted) return;
    // Whoever took it while we were away has it.
    if (tenancy === undefined) return;
    this.#origin = tip.origin;
    listener.begins(tip);

    const { promise: broken, resolve: give } = Promise.withResolvers<Error>();
    const { unreadable } = api.requests.faults;
    this.#pull = new Pull({
      api,
      stream: this.#query.stream,
      consumer,
      bounds: this.#bounds,
      roomBytes: () => listener.roomBytes,
      take: (msg, delivery) => {
        const { sequence } = delivery;
        if (isWhole && delivery.deliveries === 1 && sequence > reached + 1) {
          listener.missed(reached + 1, sequence - 1);
        }
        reached = Math.max(reached, sequence);
        const message = new UnsettledMessage(msg, tip.origin, delivery, unreadable);
        if (exact || this.#patterns.carry(message.subject)) listener.message(message);
        else this.settle(message.receipt, "ack");
      },
      heard: works,
      broken: give,
    });
    try {
      this.#pull.ask();
      return await unlessAborted(broken, signal);
    } finally {
      if (!signal.aborted) this.#hangUp();
      tenancy.end();
    }
  }

  #hangUp(): void {
    this.#pull?.close();
    this.#pull = undefined;
  }
}
