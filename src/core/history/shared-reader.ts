interface Page {
  readonly envelopes: readonly { readonly byteLength: number }[];
}

/** The memory of a page besides its messages. */
const PAGE_BYTES = 512;

/**
 * Reads pages once for all callers that join before the first page is asked for. Each caller reads at its own
 * speed; the fastest asks for the next page. The last pages are kept up to a number of bytes: a caller that
 * needs an older one is left behind.
 */
export class SharedReader<T extends Page> {
  /** Whether the first page was asked for: it is too late to join. */
  hasBegun = false;
  /** Resolves when no caller is left, or the last page was read. */
  readonly over: Promise<void>;
  readonly #pages: AsyncGenerator<T, void, void>;
  readonly #mostBytes: number;
  #kept: { readonly page: T; readonly bytes: number }[] = [];
  #bytes = 0;
  /** How many pages are not kept any more. */
  #gone = 0;
  #reading: Promise<void> | undefined;
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

  /** Yields all pages. @returns `false` if the caller was left behind before the end. */
  async *read(): AsyncGenerator<T, boolean, void> {
    this.#readers++;
    try {
      for (let at = 0; ; at++) {
        while (at >= this.#gone + this.#kept.length) {
          if (this.#failure !== undefined) throw this.#failure.thrown;
          if (this.#isAtEnd) return true;
          this.#reading ??= this.#readNext();
          await this.#reading;
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
  async #readNext(): Promise<void> {
    try {
      const { value, done } = await this.#pages.next();
      if (done === true) this.#isAtEnd = true;
      else this.#keep(value);
    } catch (thrown) {
      this.#failure = { thrown };
    }
    this.#reading = undefined;
    if (this.#isAtEnd || this.#failure !== undefined) this.#end();
  }

  #keep(page: T): void {
    const bytes = page.envelopes.reduce((sum, { byteLength }) => sum + byteLength, PAGE_BYTES);
    this.#kept.push({ page, bytes });
    this.#bytes += bytes;
    // The last page stays for the caller that has asked for it.
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
