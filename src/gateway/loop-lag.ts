import { Distribution } from "../core/metering/distribution.ts";
import type { Cancel, Clock } from "../core/ports/clock.ts";

/** The time of the timer whose lateness is measured. */
const INTERVAL_MS = 100;

/**
 * By how much timers are late, because the event loop was held: the runtimes' own measures of it
 * mean something else on each of them, or miss a loop that stands still. Deno's timers are late by
 * about 1 ms of themselves.
 */
export class LoopLag {
  readonly seconds = new Distribution([
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5,
  ]);
  readonly #clock: Clock;
  #cancel: Cancel | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  start(): void {
    this.stop();
    this.#measure();
  }

  /** Ends the timer; may be called twice. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #measure(): void {
    const dueMs = this.#clock.nowMs() + INTERVAL_MS;
    this.#cancel = this.#clock.after(INTERVAL_MS, () => {
      this.seconds.add(Math.max(0, this.#clock.nowMs() - dueMs) / 1000);
      this.#measure();
    });
  }
}
