/**
 * Runs starts and stops in the order in which they are asked for, one at a time. If the last request asked for
 * the same, a caller shares its work.
 */
export class StartStopQueue {
  /** What the last request asked for. */
  #wantsOpen = false;
  /** Ends with the last work; later work waits for it, however it ends. */
  #last: Promise<void> = Promise.resolve();

  /** Opens, unless the last request was to open. Rejects as `open` does. */
  start(open: () => Promise<void>): Promise<void> {
    if (!this.#wantsOpen) {
      this.#wantsOpen = true;
      this.#enqueue(open);
    }
    return this.#last;
  }

  /** Closes, unless the last request was to close. Rejects as `close` does. */
  stop(close: () => Promise<void>): Promise<void> {
    if (this.#wantsOpen) {
      this.#wantsOpen = false;
      this.#enqueue(close);
    }
    return this.#last;
  }

  /** Resolves when the starts and stops that were asked for have ended, however that is. */
  async settled(): Promise<void> {
    await this.#last.catch(() => {});
  }

  #enqueue(work: () => Promise<void>): void {
    const next = this.#last.then(work, work);
    this.#last = next;
    next.catch(() => {
      // A later request may have come in the meantime.
      if (this.#last !== next) return;
      this.#wantsOpen = false;
      this.#last = Promise.resolve();
    });
  }
}
