interface Flight<T> {
  /** Counts the calls. */
  readonly number: number;
  readonly answer: Promise<T>;
}

/** Makes one call for all callers that want the same answer at about the same time. */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Flight<T>>();
  #count = 0;

  /**
   * Returns the answer for a key.
   *
   * @param isNew whether the call must not have begun before now: then all who wait for the current call to
   * end share the next one.
   */
  async get(key: string, isNew: boolean, call: () => Promise<T>): Promise<T> {
    const begun = this.#count;
    for (;;) {
      const flight = this.#flights.get(key);
      if (flight === undefined) break;
      if (!isNew || flight.number > begun) return await flight.answer;
      await flight.answer.catch(() => undefined);
    }
    const answer = call().finally(() => this.#flights.delete(key));
    this.#flights.set(key, { number: ++this.#count, answer });
    return await answer;
  }
}
