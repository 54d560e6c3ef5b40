import { reasonOf } from "../core/errors.ts";
import type { Log } from "../core/log.ts";

/** The patterns that NATS does not let us subscribe to. What is news is logged. */
export class Refusals {
  readonly #patterns = new Set<string>();
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  get patterns(): string[] {
    return [...this.#patterns];
  }

  /** @returns why, in words for people. */
  add(pattern: string, error: Error): string {
    // The queue group is our own affair.
    const reason = reasonOf(error)
      .replaceAll("'", "")
      .replace(/ using queue ".*/, "");
    if (!this.#patterns.has(pattern)) {
      this.#log.warn("NATS refuses to let us subscribe to {pattern}: {reason}", {
        pattern,
        reason,
      });
    }
    this.#patterns.add(pattern);
    return reason;
  }

  /** NATS lets us subscribe to a pattern, which is news where it did not before. */
  lift(pattern: string): void {
    if (!this.delete(pattern)) return;
    this.#log.info("NATS lets us subscribe to {pattern} again", { pattern });
  }

  /** Nobody wants the pattern any more; says whether it was refused. */
  delete(pattern: string): boolean {
    return this.#patterns.delete(pattern);
  }
}
