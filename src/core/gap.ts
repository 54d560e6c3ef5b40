import { cursorOf, type Position } from "./envelope.ts";
import type { GapFrame } from "./server-frame.ts";

/** Messages that one client's policy leaves out, counted one by one. */
export class Gap {
  #from: Position;
  #to: Position;
  #count = 1;

  constructor(first: Position) {
    this.#from = first;
    this.#to = first;
  }

  /** One more, behind the others. */
  add(position: Position): void {
    this.#to = position;
    this.#count++;
  }

  /** Those of a gap behind this one. */
  join(next: Gap): void {
    this.#to = next.#to;
    this.#count += next.#count;
  }

  get frame(): GapFrame {
    return {
      type: "gap",
      from: cursorOf(this.#from),
      to: cursorOf(this.#to),
      count: this.#count,
      reason: "slow",
    };
  }
}
