import { OldestFirst } from "../collections/oldest-first.ts";

/** The most messages that are remembered of one durable; the oldest are forgotten first. */
const MOST = 16_384;
/** A message is remembered for twice the acknowledgement timeout, and at least this long. */
const SHORTEST_MS = 60_000;

/** How a message of a durable was settled for good. */
export type FinalSettlement = "ack" | "term";

/**
 * Remembers the messages of a durable that were settled a short time ago. JetStream may send such a message
 * again, because the settlement was late or lost: the message is settled again, and the client doesn't see it.
 */
export class RecentlySettled {
  readonly #keptMs: number;
  /** By sequence, in the order in which they were settled. */
  readonly #settled = new OldestFirst<
    number,
    { readonly as: FinalSettlement; readonly atMs: number }
  >();

  constructor(ackTimeoutMs: number) {
    this.#keptMs = Math.max(2 * ackTimeoutMs, SHORTEST_MS);
  }

  add(sequence: number, as: FinalSettlement, nowMs: number): void {
    this.#settled.set(sequence, { as, atMs: nowMs });
    // Each call adds one and removes at most two: old ones are removed in the end, and no call takes long.
    for (let n = 0; n < 2; n++) {
      const { oldest } = this.#settled;
      if (oldest === undefined) return;
      const [first, { atMs }] = oldest;
      if (this.#settled.size > MOST || nowMs - atMs > this.#keptMs) this.#settled.delete(first);
      else return;
    }
  }

  get(sequence: number): FinalSettlement | undefined {
    return this.#settled.get(sequence)?.as;
  }

  clear(): void {
    this.#settled.clear();
  }
}
