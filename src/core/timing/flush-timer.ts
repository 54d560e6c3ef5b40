import type { Cancel, Clock } from "../ports/clock.ts";

/** Calls for a flush at most once in an interval: soon if the last one is longer ago, or else when it is over. */
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

  /** Schedules a flush, unless one is scheduled. */
  schedule(): void {
    if (this.#cancel !== undefined) return;
    const waitMs = this.#lastMs + this.#intervalMs - this.#clock.nowMs();
    this.#cancel =
      waitMs > 0 ? this.#clock.after(waitMs, this.#flush) : this.#clock.soon(this.#flush);
  }

  /** A flush begins: no other one is scheduled. @returns the time. */
  begins(): number {
    this.stop();
    return this.#clock.nowMs();
  }

  /** The flush is over: the interval begins. @returns the time. */
  ends(): number {
    this.#lastMs = this.#clock.nowMs();
    return this.#lastMs;
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
