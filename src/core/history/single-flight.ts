interface Asked<T> {
  /** Counts the questions. */
  readonly number: number;
  readonly answer: Promise<T>;
}

/** Asks a question once if several want the answer at about the same time. */
export class SingleFlight<T> {
  readonly #under = new Map<string, Asked<T>>();
  #count = 0;

  /**
   * The answer to a question.
   *
   * @param isNew whether it must not be one that was asked for before now: then those who wait for one that
   * is under way share the next one.
   */
  async get(question: string, isNew: boolean, ask: () => Promise<T>): Promise<T> {
    const asked = this.#count;
    for (;;) {
      const under = this.#under.get(question);
      if (under === undefined) break;
      if (!isNew || under.number > asked) return await under.answer;
      await under.answer.catch(() => undefined);
    }
    const answer = ask().finally(() => this.#under.delete(question));
    this.#under.set(question, { number: ++this.#count, answer });
    return await answer;
  }
}
