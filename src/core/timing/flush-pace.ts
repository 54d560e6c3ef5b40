/** Decides how long a flush has to wait after the ones before it. */
export interface FlushPace {
  /** Returns how long the next flush has to wait; 0 or less: not at all. */
  waitMs(nowMs: number): number;
  /** A flush is over: it and the messages that it was waiting for took `workMs` until `nowMs`. */
  spent(workMs: number, nowMs: number): void;
}

/** Lets one flush begin in each interval. */
export class FixedFlushPace implements FlushPace {
  readonly #intervalMs: number;
  #lastMs = Number.NEGATIVE_INFINITY;

  /** @param intervalMs 0: a flush never waits. */
  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  waitMs(nowMs: number): number {
    return this.#lastMs + this.#intervalMs - nowMs;
  }

  spent(_workMs: number, nowMs: number): void {
    this.#lastMs = nowMs;
  }
}

/** The share of the time that may go to flushes which don't wait. */
const SHARE = 0.65;
/** The most unused time that is kept for later. A burst may use it up at once. */
const MAX_CREDIT_MS = 20;
/** The runtimes' timers are no more precise than this. */
const MIN_WAIT_MS = 1;
const MAX_WAIT_MS = 10;

/**
 * Lets flushes begin at once while they take less than a share of the time. Beyond it, a flush waits, so that it
 * writes several messages at the cost of one.
 *
 * Unused time is credit (a token bucket). A flush that takes more than the credit leaves a debt, and the next one waits until
 * the debt is paid.
 */
export class AdaptiveFlushPace implements FlushPace {
  #creditMs = MAX_CREDIT_MS;
  #atMs = Number.NEGATIVE_INFINITY;

  waitMs(nowMs: number): number {
    this.#earn(nowMs);
    if (this.#creditMs > 0) return 0;
    return Math.min(MAX_WAIT_MS, Math.max(MIN_WAIT_MS, -this.#creditMs / SHARE));
  }

  spent(workMs: number, nowMs: number): void {
    this.#earn(nowMs);
    this.#creditMs = Math.max(this.#creditMs - workMs, -MAX_WAIT_MS * SHARE);
  }

  #earn(nowMs: number): void {
    this.#creditMs = Math.min(MAX_CREDIT_MS, this.#creditMs + (nowMs - this.#atMs) * SHARE);
    this.#atMs = nowMs;
  }
}
