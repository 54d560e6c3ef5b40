import { OldestFirst } from "../collections/oldest-first.ts";

/** The most that are remembered of one durable; the oldest are forgotten first. */
const MOST = 16_384;
/** They are remembered twice as long as an acknowledgement may take, and at least this long. */
const SHORTEST_MS = 60_000;

/** How a message of a durable came to its end. */
export type End = "ack" | "term";

/**
 * The messages of a durable that were settled a short time ago. JetStream may have sent one again before it
 * had the settlement, or may never have got it: then the message is settled again, and its client is not
 * bothered.
 */
export class RecentlySettled {
  readonly #keptMs: number;
  /** By sequence, in the order in which they were settled. */
  readonly #ends = new OldestFirst<number, { readonly as: End; readonly atMs: number }>();

  constructor(ackTimeoutMs: number) {
    this.#keptMs = Math.max(2 * ackTimeoutMs, SHORTEST_MS);
  }

  add(sequence: number, as: End, nowMs: number): void {
    this.#ends.set(sequence, { as, atMs: nowMs });
    // One is added, and two at most are removed: old ones go in the end, and no call takes long.
    for (let n = 0; n < 2; n++) {
      const { oldest } = this.#ends;
      if (oldest === undefined) return;
      const [first, { atMs }] = oldest;
      if (this.#ends.size > MOST || nowMs - atMs > this.#keptMs) this.#ends.delete(first);
      else return;
    }
  }

  get(sequence: number): End | undefined {
    return this.#ends.get(sequence)?.as;
  }

  clear(): void {
    this.#ends.clear();
  }
}
