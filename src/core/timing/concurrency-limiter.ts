import type { Clock } from "../ports/clock.ts";

/** Who has not given its place back after so long keeps it no longer from others. */
const LONGEST_MS = 1000;

/**
 * Lets so many work at a time, and begin one in each turn of the event loop, so that whatever else
 * the loop has to do comes in between. First come, first served.
 */
export class ConcurrencyLimiter {
  readonly #clock: Clock;
  readonly #most: number;
  readonly #longestMs: number;
  readonly #waiting: (() => void)[] = [];
  #working = 0;
  #scheduled = false;

  /** @param longestMs a place that is not given back is taken back after this time; infinite: never. */
  constructor(clock: Clock, most: number, longestMs = LONGEST_MS) {
    this.#clock = clock;
    this.#most = most;
    this.#longestMs = longestMs;
  }

  /** Waits for a turn. @returns what gives the place back; may be called twice. */
  async take(): Promise<() => void> {
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve);
      this.#schedule();
    });
    let given = false;
    const give = (): void => {
      if (given) return;
      given = true;
      cancel();
      this.#working--;
      this.#schedule();
    };
    const isBounded = this.#longestMs < Number.POSITIVE_INFINITY;
    const cancel = isBounded ? this.#clock.after(this.#longestMs, give) : () => {};
    return give;
  }

  #schedule(): void {
    if (this.#scheduled || this.#waiting.length === 0 || this.#working >= this.#most) return;
    this.#scheduled = true;
    this.#clock.soon(() => {
      this.#scheduled = false;
      if (this.#working < this.#most) {
        const next = this.#waiting.shift();
        if (next !== undefined) this.#working++;
        next?.();
      }
      this.#schedule();
    });
  }
}
