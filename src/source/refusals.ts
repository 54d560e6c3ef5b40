import { reasonOf } from "../core/errors.ts";
import type { Log } from "../core/log.ts";

/** Refused patterns that a text names; clients may ask for any number. */
const MOST_NAMED = 3;

/** The patterns that NATS does not let us subscribe to, and why. */
export class Refusals {
  readonly #reasons = new Map<string, string>();
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  /** A sentence for people, or `undefined` when nothing is refused. */
  get text(): string | undefined {
    if (this.#reasons.size === 0) return undefined;
    const texts: string[] = [];
    for (const [pattern, reason] of this.#reasons) {
      if (texts.length === MOST_NAMED) break;
      texts.push(`NATS refuses to let us subscribe to ${pattern}: ${reason}`);
    }
    const others = this.#reasons.size - texts.length;
    return others === 0 ? texts.join("; ") : `${texts.join("; ")}; and to ${others} others`;
  }

  get patterns(): string[] {
    return [...this.#reasons.keys()];
  }

  add(pattern: string, error: Error): void {
    // The queue group is our own affair.
    const reason = reasonOf(error)
      .replaceAll("'", "")
      .replace(/ using queue ".*/, "");
    if (!this.#reasons.has(pattern)) {
      this.#log.warn("NATS refuses to let us subscribe to {pattern}: {reason}", {
        pattern,
        reason,
      });
    }
    this.#reasons.set(pattern, reason);
  }

  /** NATS lets us subscribe to a pattern, which is news where it did not before. */
  lift(pattern: string): void {
    if (!this.delete(pattern)) return;
    this.#log.info("NATS lets us subscribe to {pattern} again", { pattern });
  }

  /** Nobody wants the pattern any more; says whether it was refused. */
  delete(pattern: string): boolean {
    return this.#reasons.delete(pattern);
  }
}
