import type { GapFrame, GapReason } from "../../protocol/server-frames.ts";
import { cursorOf, type Envelope, type Position, serialOf } from "./envelope.ts";

interface Range {
  first: number;
  last: number;
  count: number;
}

/**
 * Messages that one client will not get, counted one by one. What a message had superseded is
 * lost with it, as no later one says so.
 */
export class Gap {
  /** By origin: sequences of different ones say nothing to each other. */
  readonly #ranges = new Map<string, Range>();
  /** The position of the one that came first. */
  #first: Position;
  readonly #reason: GapReason;

  /** @param reason by default, its policy leaves it out. */
  constructor(envelope: Envelope, reason: GapReason = "slow") {
    const { origin, sequence, firstSequence, superseded } = envelope;
    this.#ranges.set(origin, { first: firstSequence, last: sequence, count: 1 + superseded });
    this.#first = envelope.first;
    this.#reason = reason;
  }

  /** Takes in another one that stands behind this one; what it had superseded may have come before. */
  join(next: Gap): void {
    if (serialOf(next.#first) < serialOf(this.#first)) this.#first = next.#first;
    for (const [origin, { first, last, count }] of next.#ranges) {
      const range = this.#ranges.get(origin);
      if (range === undefined) {
        this.#ranges.set(origin, { first, last, count });
      } else {
        range.first = Math.min(range.first, first);
        range.last = Math.max(range.last, last);
        range.count += count;
      }
    }
  }

  get first(): Position {
    return this.#first;
  }

  /** One for each origin. */
  get frames(): GapFrame[] {
    return [...this.#ranges].map(([origin, { first, last, count }]) => ({
      type: "gap",
      from: cursorOf({ origin, sequence: first }),
      to: cursorOf({ origin, sequence: last }),
      count,
      reason: this.#reason,
    }));
  }
}

/** Returns a gap of unknown size. */
export function unknownGap(from: string, to: string, reason: GapFrame["reason"]): GapFrame {
  return { type: "gap", from, to, count: 0, reason, exact: false };
}
