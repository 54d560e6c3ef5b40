import type { Clock } from "../ports/clock.ts";

/** By default, a place that isn't given back for this long is taken back. */
const LONGEST_MS = 1000;

/**
 * Lets a number of tasks run at the same time. One task begins in each turn of the event loop, so that other
 * work comes in between. First come, first served.
 */
export class ConcurrencyLimiter {
  readonly #clock: Clock;
  readonly #most: number;
  readonly #longestMs: number;
  readonly #waiting = new Set<() => void>();
  #running = 0;
  #scheduled = false;

  /** @param longestMs a place that isn't given back is taken back after this time; infinite: never. */
  constructor(clock: Clock, most: number, longestMs = LONGEST_MS) {
    this.#clock = clock;
    this.#most = most;
    this.#longestMs = longestMs;
  }

  /** How many tasks have a place. */
  get running(): number {
    return this.#running;
  }

  /** How many tasks wait for a place. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Waits for a place.
   *
   * @param signal if it is aborted first, the wait ends without a place.
   * @returns a function that gives the place back; it may be called twice.
   */
  async take(signal?: AbortSignal): Promise<() => void> {
    if (signal?.aborted || !(await this.#turn(signal))) return () => {};
    let isGiven = false;
    const give = (): void => {
      if (isGiven) return;
      isGiven = true;
      cancel();
      this.#running--;
      this.#schedule();
    };
    const isBounded = this.#longestMs < Number.POSITIVE_INFINITY;
    const cancel = isBounded ? this.#clock.after(this.#longestMs, give) : () => {};
    return give;
  }

  /** @returns whether the task has a place now: `false` if the signal was aborted. */
  #turn(signal: AbortSignal | undefined): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (hasPlace: boolean): void => {
        this.#waiting.delete(begin);
        signal?.removeEventListener("abort", abort);
        resolve(hasPlace);
      };
      const begin = (): void => end(true);
      const abort = (): void => end(false);
      this.#waiting.add(begin);
      signal?.addEventListener("abort", abort);
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#waiting.size === 0 || this.#running >= this.#most) return;
    this.#scheduled = true;
    this.#clock.soon(() => {
      this.#scheduled = false;
      const [begin] = this.#waiting;
      if (begin !== undefined && this.#running < this.#most) {
        this.#running++;
        begin();
      }
      this.#schedule();
    });
  }
}
