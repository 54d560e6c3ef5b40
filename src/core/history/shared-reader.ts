interface Page {
  readonly envelopes: readonly { readonly byteLength: number }[];
}

/** What a page takes besides its messages. */
const PAGE_BYTES = 512;

/**
 * One walk through pages, for all that ask for it before it begins: each reads at its own speed, and the
 * fastest one turns the pages. Of pages that were read no more than some bytes are kept: whoever needs one
 * that is gone is left behind.
 */
export class SharedReader<T extends Page> {
  /** Whether it is too late to join. */
  hasBegun = false;
  /** Resolves when nobody reads it any more, or it has come to its end. */
  readonly over: Promise<void>;
  readonly #pages: AsyncGenerator<T, void, void>;
  readonly #mostBytes: number;
  #kept: { readonly page: T; readonly bytes: number }[] = [];
  #bytes = 0;
  /** How many pages are gone. */
  #gone = 0;
  #turning: Promise<void> | undefined;
  #isAtEnd = false;
  #failure: { readonly thrown: unknown } | undefined;
  #readers = 0;
  #end: () => void = () => {};

  constructor(pages: AsyncGenerator<T, void, void>, mostBytes: number) {
    this.#pages = pages;
    this.#mostBytes = mostBytes;
    this.over = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** Gives all pages from the first one on. @returns whether these were all: `false` when it was left behind. */
  async *read(): AsyncGenerator<T, boolean, void> {
    this.#readers++;
    try {
      for (let at = 0; ; at++) {
        while (at >= this.#gone + this.#kept.length) {
          if (this.#failure !== undefined) throw this.#failure.thrown;
          if (this.#isAtEnd) return true;
          this.#turning ??= this.#turn();
          await this.#turning;
        }
        const kept = this.#kept[at - this.#gone];
        if (kept === undefined) return false;
        yield kept.page;
      }
    } finally {
      if (--this.#readers === 0) await this.#close();
    }
  }

  /** Never rejects. */
  async #turn(): Promise<void> {
    try {
      const { value, done } = await this.#pages.next();
      if (done === true) this.#isAtEnd = true;
      else this.#keep(value);
    } catch (thrown) {
      this.#failure = { thrown };
    }
    this.#turning = undefined;
    if (this.#isAtEnd || this.#failure !== undefined) this.#end();
  }

  #keep(page: T): void {
    const bytes = page.envelopes.reduce((sum, { byteLength }) => sum + byteLength, PAGE_BYTES);
    this.#kept.push({ page, bytes });
    this.#bytes += bytes;
    // The last one is for whoever has turned the page.
    while (this.#bytes > this.#mostBytes && this.#kept.length > 1) {
      this.#bytes -= this.#kept.shift()?.bytes ?? 0;
      this.#gone++;
    }
  }

  async #close(): Promise<void> {
    this.hasBegun = true;
    this.#end();
    this.#kept = [];
    await this.#pages.return();
  }
}
