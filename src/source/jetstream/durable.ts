import type { Log } from "../../core/ports/log.ts";
import type {
  DurableListener,
  DurableQuery,
  DurableUse,
  Settlement,
} from "../../core/ports/source.ts";
import { natsReason } from "../connect.ts";
import { PatternSet } from "../pattern-set.ts";
import { Backoff, pause, unlessAborted } from "../retry.ts";
import type { DurableCensus } from "./durable-census.ts";
import { durableKey } from "./durable-key.ts";
import { DurableLease } from "./durable-lease.ts";
import { type DurableBounds, ensureDurable } from "./ensure-durable.ts";
import { FailureDeadline } from "./failure-deadline.ts";
import { PullSubscription } from "./pull-subscription.ts";
import { nanoseconds, type StreamApi } from "./stream-api.ts";
import { UnsettledMessage } from "./stream-message.ts";

export type { DurableBounds } from "./ensure-durable.ts";

/** The text of each settlement (ADR-15). */
const ACK_TEXTS: Readonly<Record<Settlement, string>> = {
  ack: "+ACK",
  nack: "-NAK",
  working: "+WPI",
  term: "+TERM",
};

/** What a durable needs of its owner. */
interface DurableParts {
  /** Sends a settlement, now or as soon as there is a connection. */
  send(receipt: string, body: string): void;
  released(durable: JetStreamDurable): void;
  readonly census: DurableCensus;
}

/** The use of one durable by one client: finds or makes its consumer, and asks it for messages. */
export class JetStreamDurable implements DurableUse {
  readonly #query: DurableQuery;
  readonly #listener: DurableListener;
  readonly #bounds: DurableBounds;
  readonly #log: Log;
  readonly #parts: DurableParts;
  readonly #patterns = new PatternSet();
  readonly #lease: DurableLease;
  #stopping = new AbortController();
  #isReleased = false;
  /** The stream's origin when it was described last. */
  #origin: string | undefined;
  /** `undefined` while the durable does not deliver. */
  #pull: PullSubscription | undefined;

  constructor(
    query: DurableQuery,
    listener: DurableListener,
    bounds: DurableBounds,
    log: Log,
    parts: DurableParts,
  ) {
    this.#query = query;
    this.#listener = listener;
    this.#bounds = bounds;
    this.#log = log;
    this.#parts = parts;
    this.#lease = new DurableLease(() => listener.taken());
    for (const subject of query.subjects) this.#patterns.add(subject);
  }

  settle(receipt: string, as: Settlement, delayMs = 0): void {
    const delay = as === "nack" && delayMs > 0;
    const body = delay ? ` {"delay": ${nanoseconds(Math.ceil(delayMs))}}` : "";
    this.#parts.send(receipt, `${ACK_TEXTS[as]}${body}`);
  }

  resume(): void {
    this.#pull?.ask();
  }

  release(): void {
    this.#isReleased = true;
    this.close();
    this.#parts.released(this);
  }

  /** Uses the durable on a connection, until `close`. */
  async open(api: StreamApi): Promise<void> {
    this.close();
    this.#stopping = new AbortController();
    const { signal } = this.#stopping;
    const retries = new Backoff();
    const deadline = new FailureDeadline();
    let problem: string | undefined;
    const { name, stream } = this.#query;
    while (!signal.aborted && !this.#isReleased) {
      try {
        const reason = await this.#serve(api, signal, () => {
          retries.reset();
          deadline.reset();
          problem = undefined;
        });
        if (signal.aborted) return;
        if (reason !== undefined && deadline.isFinal(reason)) throw reason;
        this.#log.info("Opening durable {name} of stream {stream} again: {reason}", {
          name,
          stream,
          reason: reason?.message,
        });
      } catch (thrown) {
        if (signal.aborted) return;
        const reason = natsReason(thrown);
        const about = { name, stream, reason };
        if (deadline.isFinal(thrown)) {
          this.release();
          this.#listener.refused("unavailable", `NATS says: ${reason}`);
          api.requests.faults.refused(`durable ${name} of ${stream} can't be used: ${reason}`);
          return;
        }
        if (reason !== problem)
          this.#log.warn("Cannot use durable {name} of stream {stream}: {reason}", about);
        problem = reason;
      }
      await pause(retries.next(), signal);
    }
  }

  /** The connection is lost, or the use is over: drops messages that are under way. */
  close(): void {
    this.#stopping.abort();
    this.#stopPulling();
  }

  /** Delivers messages until the consumer is broken. @returns the reason. */
  async #serve(api: StreamApi, signal: AbortSignal, works: () => void): Promise<Error | undefined> {
    const listener = this.#listener;
    const behind = { origin: this.#origin, sequence: listener.settledUpTo };
    const key = await durableKey(this.#query);
    const { census } = this.#parts;
    const found = await ensureDurable(api, key, this.#query, this.#bounds, census, behind);
    if (signal.aborted) return;
    if ("refused" in found) {
      this.release();
      listener.refused(found.refused, found.reason);
      return;
    }
    const { state, consumer, exact, isWhole } = found;
    let { reached } = found;
    const lease = await this.#lease.acquire(api.requests, this.#query.stream, key);
    if (signal.aborted) lease?.release();
    if (signal.aborted) return;
    // Another client took it while we were disconnected.
    if (lease === undefined) return;
    this.#origin = state.origin;
    listener.begins(state);

    const { promise: broken, resolve: give } = Promise.withResolvers<Error>();
    const { unreadable } = api.requests.faults;
    this.#pull = new PullSubscription({
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
        const message = new UnsettledMessage(msg, state.origin, delivery, unreadable);
        if (exact || this.#patterns.matches(message.subject)) listener.message(message);
        else this.settle(message.receipt, "ack");
      },
      heard: works,
      broken: give,
    });
    try {
      this.#pull.ask();
      return await unlessAborted(broken, signal);
    } finally {
      if (!signal.aborted) this.#stopPulling();
      lease.release();
    }
  }

  #stopPulling(): void {
    this.#pull?.close();
    this.#pull = undefined;
  }
}
