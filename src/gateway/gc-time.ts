import { PerformanceObserver } from "node:perf_hooks";
import { runtimeVersion } from "./process-facts.ts";

/** Measures how long garbage collections stop the event loop. Only Node tells; Deno has the observer and never calls it. */
export class GcTime {
  readonly #isKnown = runtimeVersion().runtime === "node";
  #observer: PerformanceObserver | undefined;
  #totalMs = 0;

  /** Seconds in all garbage collections while it was measured; `undefined` if the runtime doesn't tell. */
  get seconds(): number | undefined {
    return this.#isKnown ? this.#totalMs / 1000 : undefined;
  }

  start(): void {
    if (!this.#isKnown || this.#observer !== undefined) return;
    this.#observer = new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) this.#totalMs += duration;
    });
    this.#observer.observe({ entryTypes: ["gc"] });
  }

  /** Stops measuring. May be called twice. */
  stop(): void {
    this.#observer?.disconnect();
    this.#observer = undefined;
  }
}
