import { Distribution } from "../core/metering/distribution.ts";
import type { Cancel, Clock } from "../core/ports/clock.ts";

/** The delay of the measured timer. */
const INTERVAL_MS = 100;

/**
 * Measures how late timers fire because the event loop was busy. The runtimes' own measures differ, or miss a blocked
 * loop. On Deno, timers are always about 1 ms late.
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

  /** Stops measuring. May be called twice. */
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
