/**
 * Starts and stops in the order in which they were asked for, one at a time.
 *
 * Whoever asks for what is done already, or under way, shares the work of the one before.
 */
export class Lifecycle {
  /** What the last caller asked for. */
  #wantsOpen = false;
  /** The end of the last work; later work waits for it, however it ends. */
  #last: Promise<void> = Promise.resolve();

  /** Opens, unless that was the last thing asked for. Rejects as `open` does. */
  start(open: () => Promise<void>): Promise<void> {
    if (!this.#wantsOpen) {
      this.#wantsOpen = true;
      this.#enqueue(open);
    }
    return this.#last;
  }

  /** Closes, unless that was the last thing asked for. Rejects as `close` does. */
  stop(close: () => Promise<void>): Promise<void> {
    if (this.#wantsOpen) {
      this.#wantsOpen = false;
      this.#enqueue(close);
    }
    return this.#last;
  }

  #enqueue(work: () => Promise<void>): void {
    const next = this.#last.then(work, work);
    this.#last = next;
    next.catch(() => {
      // Somebody may have asked for more in the meantime.
      if (this.#last !== next) return;
      this.#wantsOpen = false;
      this.#last = Promise.resolve();
    });
  }
}
