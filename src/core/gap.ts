import { cursorOf, type Envelope, type Position } from "./envelope.ts";
import type { GapFrame } from "./server-frame.ts";

/**
 * Messages that one client's policy leaves out, counted one by one. What a message had superseded is
 * lost with it, as no later one says so.
 */
export class Gap {
  readonly #origin: string;
  #first: number;
  #last: number;
  #count: number;

  constructor({ origin, sequence, firstSequence, superseded }: Envelope) {
    this.#origin = origin;
    this.#first = firstSequence;
    this.#last = sequence;
    this.#count = 1 + superseded;
  }

  /** Takes in another one that stands behind this one. */
  join(next: Gap): void {
    this.#first = Math.min(this.#first, next.#first);
    this.#last = Math.max(this.#last, next.#last);
    this.#count += next.#count;
  }

  get first(): Position {
    return { origin: this.#origin, sequence: this.#first };
  }

  get frame(): GapFrame {
    return {
      type: "gap",
      from: cursorOf({ origin: this.#origin, sequence: this.#first }),
      to: cursorOf({ origin: this.#origin, sequence: this.#last }),
      count: this.#count,
      reason: "slow",
    };
  }
}
