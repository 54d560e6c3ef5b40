import type { Log } from "../core/ports/log.ts";

/** The most log lines in a minute, as there may be very many patterns. */
const LOGGED = 20;
const MINUTE_MS = 60_000;

/** The patterns that NATS refuses, and that are tried again. Logs each new refusal, and its end. */
export class RefusedPatterns {
  readonly #patterns = new Set<string>();
  readonly #log: Log;
  #logged = 0;
  #sinceMs = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  get size(): number {
    return this.#patterns.size;
  }

  /** Returns the patterns that were refused the longest ago. */
  first(count: number): string[] {
    const first: string[] = [];
    for (const pattern of this.#patterns) {
      if (first.push(pattern) >= count) break;
    }
    return first;
  }

  add(pattern: string, reason: string): void {
    const isNews = !this.#patterns.delete(pattern);
    this.#patterns.add(pattern);
    if (!isNews || !this.#mayLog()) return;
    this.#log.warn("NATS refuses the subscription to {pattern}: {reason}", { pattern, reason });
  }

  /** NATS takes a pattern. Logs that if it was refused before. */
  lift(pattern: string): void {
    if (!this.delete(pattern) || !this.#mayLog()) return;
    this.#log.info("NATS accepts the subscription to {pattern} again", { pattern });
  }

  /** Forgets a pattern. Returns whether it was refused. */
  delete(pattern: string): boolean {
    return this.#patterns.delete(pattern);
  }

  #mayLog(): boolean {
    const nowMs = performance.now();
    if (nowMs - this.#sinceMs > MINUTE_MS) {
      this.#sinceMs = nowMs;
      this.#logged = 0;
    }
    this.#logged++;
    if (this.#logged === LOGGED + 1) {
      this.#log.warn(
        "More subscriptions are refused or accepted again; they are not logged for a minute",
      );
    }
    return this.#logged <= LOGGED;
  }
}
