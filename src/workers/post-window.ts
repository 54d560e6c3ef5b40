/** The bytes of posts that the other workers may have to take yet. */
const WINDOW_BYTES = 1024 ** 2;
/** A post counts as so many bytes at least, for what it costs to take it. */
const MIN_BYTES = 1024;

interface Waiter {
  readonly run: () => void;
}

/** Bounds how far the other workers are behind with what this one posts to them. */
export class PostWindow {
  readonly #flush: () => Promise<unknown>;
  /** In the order in which they came. */
  readonly #waiting = new Set<Waiter>();
  #sent = 0;
  #taken = 0;
  #isFlushing = false;

  /** @param flush resolves when the other workers have taken all that was sent to them before. */
  constructor(flush: () => Promise<unknown>) {
    this.#flush = flush;
  }

  /**
   * Calls as soon as there is room for another post; at once if there is now.
   *
   * @param signal if it is aborted before, nothing is called.
   */
  whenRoom(run: () => void, signal: AbortSignal): void {
    if (signal.aborted) return;
    if (this.#waiting.size === 0 && this.#hasRoom) {
      run();
      return;
    }
    const waiter = { run };
    this.#waiting.add(waiter);
    signal.addEventListener("abort", () => this.#waiting.delete(waiter), { once: true });
  }

  /** Notes that a post was sent. */
  sent(bytes: number): void {
    this.#sent += Math.max(bytes, MIN_BYTES);
    void this.#flushLater();
  }

  get #hasRoom(): boolean {
    return this.#sent - this.#taken < WINDOW_BYTES;
  }

  async #flushLater(): Promise<void> {
    if (this.#isFlushing || this.#sent - this.#taken < WINDOW_BYTES / 2) return;
    this.#isFlushing = true;
    const sent = this.#sent;
    await this.#flush();
    this.#taken = sent;
    this.#isFlushing = false;
    for (const waiter of this.#waiting) {
      if (!this.#hasRoom) break;
      this.#waiting.delete(waiter);
      waiter.run();
    }
    void this.#flushLater();
  }
}
