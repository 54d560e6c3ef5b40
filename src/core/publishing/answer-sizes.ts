import type { Clock } from "../ports/clock.ts";

/** A large answer counts for this time. */
const REMEMBERED_MS = 300_000;
/** The most subjects of which an answer is remembered. */
const MAX_SUBJECTS = 1_000;
/** An answer is never expected to be smaller than this part of the largest one that may come. */
const MIN_SHARE = 1 / 16;

/** Expects how large the answer to a request will be: as large as the largest one that its subject gave lately. */
export class AnswerSizes {
  readonly #clock: Clock;
  readonly #bySubject = new Map<string, { readonly bytes: number; readonly atMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param largest the largest answer that may come. */
  expected(subject: string, largest: number): number {
    const known = this.#known(subject);
    if (known === undefined) return largest;
    return Math.min(largest, Math.max(known.bytes, Math.ceil(largest * MIN_SHARE)));
  }

  /** A subject has given an answer. */
  learn(subject: string, bytes: number): void {
    const known = this.#known(subject);
    if (known !== undefined && known.bytes >= bytes) return;
    this.#bySubject.delete(subject);
    this.#bySubject.set(subject, { bytes, atMs: this.#clock.nowMs() });
    if (this.#bySubject.size <= MAX_SUBJECTS) return;
    const [oldest] = this.#bySubject.keys();
    this.#bySubject.delete(oldest as string);
  }

  #known(subject: string) {
    const known = this.#bySubject.get(subject);
    if (known === undefined) return undefined;
    return this.#clock.nowMs() - known.atMs < REMEMBERED_MS ? known : undefined;
  }
}
