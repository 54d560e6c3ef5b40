/**
 * A bounded memory of answers, each until a time. An answer that is added removes the least recently used ones if their time is
 * over, or if there are too many.
 */
export class AnswerCache<T> {
  readonly #max: number;
  /** The one used last is the last. */
  readonly #answers = new Map<string, { readonly answer: T; readonly untilMs: number }>();

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#answers.size;
  }

  /** Returns the answer for a key, if it still counts. */
  get(key: string, nowMs: number): T | undefined {
    const kept = this.#answers.get(key);
    if (kept === undefined) return undefined;
    this.#answers.delete(key);
    if (kept.untilMs <= nowMs) return undefined;
    this.#answers.set(key, kept);
    return kept.answer;
  }

  set(key: string, answer: T, untilMs: number, nowMs: number): void {
    this.#answers.delete(key);
    this.#answers.set(key, { answer, untilMs });
    for (const [oldest, kept] of this.#answers) {
      if (kept.untilMs > nowMs && this.#answers.size <= this.#max) return;
      this.#answers.delete(oldest);
    }
  }
}
