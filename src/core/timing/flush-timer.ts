import type { Cancel, Clock } from "../ports/clock.ts";
import type { FlushPace } from "./flush-pace.ts";

/** Calls for a flush: after the present turn of the event loop, or later if the pace says so. */
export class FlushTimer {
  readonly #clock: Clock;
  readonly #pace: FlushPace;
  readonly #flush: () => void;
  #cancel: Cancel | undefined;
  /** The time at which the work for the next flush began; `undefined`: with the flush itself. */
  #workSinceMs: number | undefined;

  constructor(clock: Clock, pace: FlushPace, flush: () => void) {
    this.#clock = clock;
    this.#pace = pace;
    this.#flush = flush;
  }

  /** Schedules a flush, unless one is scheduled. */
  schedule(): void {
    if (this.#cancel !== undefined) return;
    const nowMs = this.#clock.nowMs();
    const waitMs = this.#pace.waitMs(nowMs);
    if (waitMs > 0) {
      this.#cancel = this.#clock.after(waitMs, this.#flush);
      return;
    }
    this.#workSinceMs = nowMs;
    this.#cancel = this.#clock.soon(this.#flush);
  }

  /** A flush begins: no other one is scheduled. @returns the time. */
  begins(): number {
    const nowMs = this.#clock.nowMs();
    this.stop();
    this.#workSinceMs ??= nowMs;
    return nowMs;
  }

  /** The flush is over. @returns the time. */
  ends(): number {
    const nowMs = this.#clock.nowMs();
    this.#pace.spent(nowMs - (this.#workSinceMs ?? nowMs), nowMs);
    this.#workSinceMs = undefined;
    return nowMs;
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
