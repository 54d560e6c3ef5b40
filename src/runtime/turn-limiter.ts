/** How many requests are served in one turn of the event loop. More wait for the next turns. */
const MAX_PER_TURN = 64;

/**
 * Limits the requests that are served in one turn of the event loop, for a runtime that delivers all pipelined requests of
 * a connection at once. Otherwise a client could block the loop with thousands of requests in one write.
 */
export class TurnLimiter {
  #left = MAX_PER_TURN;
  #isRenewing = false;
  readonly #waiting: (() => void)[] = [];

  /** Calls the function now, or in a later turn. */
  serve<T>(call: () => T | Promise<T>): T | Promise<T> {
    this.#renewSoon();
    if (this.#left > 0) {
      this.#left--;
      return call();
    }
    return new Promise<void>((resolve) => void this.#waiting.push(resolve)).then(call);
  }

  #renewSoon(): void {
    if (this.#isRenewing) return;
    this.#isRenewing = true;
    setImmediate(() => {
      this.#isRenewing = false;
      const released = this.#waiting.splice(0, MAX_PER_TURN);
      this.#left = MAX_PER_TURN - released.length;
      if (released.length > 0) this.#renewSoon();
      for (const release of released) release();
    });
  }
}
