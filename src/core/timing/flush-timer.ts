import type { Cancel, Clock } from "../ports/clock.ts";

/** When to flush: at once when the last time is longer ago than the interval, otherwise when that is up. */
export class FlushTimer {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #flush: () => void;
  #cancel: Cancel | undefined;
  #lastMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, intervalMs: number, flush: () => void) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
    this.#flush = flush;
  }

  /** Sees to a flush, unless one is due already. */
  schedule(): void {
    if (this.#cancel !== undefined) return;
    const waitMs = this.#lastMs + this.#intervalMs - this.#clock.nowMs();
    this.#cancel =
      waitMs > 0 ? this.#clock.after(waitMs, this.#flush) : this.#clock.soon(this.#flush);
  }

  /** A flush begins. @returns the time. */
  begins(): number {
    this.stop();
    return this.#clock.nowMs();
  }

  /** It is over. @returns the time. */
  ends(): number {
    this.#lastMs = this.#clock.nowMs();
    return this.#lastMs;
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
