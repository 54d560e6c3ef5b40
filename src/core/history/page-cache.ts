import type { Cancel, Clock } from "../ports/clock.ts";

/** A page that may be kept. */
export interface Cacheable {
  readonly envelopes: readonly { readonly sequence: number; readonly byteLength: number }[];
}

/** A page that is kept. */
export interface CachedPage<T> {
  readonly page: T;
  /** The page has the messages after this sequence, up to `upTo`. */
  readonly after: number;
  readonly upTo: number;
  readonly bytes: number;
  /** Whether somebody has wanted it since the pages were last looked through. */
  isRecent: boolean;
}

/** The most bytes of pages that are kept: clients that reconnect together ask for almost the same ones. */
const MOST_BYTES = 16 * 1024 * 1024;
/** A page that nobody wants is kept this long at least, and at most twice as long. */
const KEPT_MS = 30_000;
/** The memory of a page and of a message besides its bytes. */
const PAGE_BYTES = 512;
const MESSAGE_BYTES = 256;

/** Keeps the pages of streams that were read last, for a short time. */
export class PageCache<T extends Cacheable> {
  readonly #clock: Clock;
  /** By query. The query that was read least recently is first. */
  readonly #pages = new Map<string, CachedPage<T>[]>();
  #bytes = 0;
  #cancelTimer: Cancel | undefined;
  #isStopped = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Returns a page of a query that has the messages after a sequence. */
  find(key: string, after: number): CachedPage<T> | undefined {
    const cached = this.#pages.get(key)?.find((one) => one.after <= after && after < one.upTo);
    if (cached !== undefined) cached.isRecent = true;
    return cached;
  }

  keep(key: string, after: number, page: T): void {
    if (this.#isStopped) return;
    const upTo = page.envelopes.at(-1)?.sequence ?? after;
    const bytes = page.envelopes.reduce(
      (sum, { byteLength }) => sum + MESSAGE_BYTES + byteLength,
      PAGE_BYTES + key.length,
    );
    const pages = this.#pages.get(key) ?? [];
    pages.push({ after, upTo, page, bytes, isRecent: true });
    // The query that was asked last goes to the end.
    this.#pages.delete(key);
    this.#pages.set(key, pages);
    this.#bytes += bytes;
    while (this.#bytes > MOST_BYTES) {
      const [oldest, [first]] = this.#pages.entries().next().value as [string, CachedPage<T>[]];
      this.forget(oldest, first as CachedPage<T>);
    }
    this.#cancelTimer ??= this.#clock.after(KEPT_MS, () => this.#lookThrough());
  }

  forget(key: string, page: CachedPage<T>): void {
    this.#retain(key, (other) => other !== page);
  }

  /** Forgets all pages, and keeps none any more. */
  stop(): void {
    this.#isStopped = true;
    this.#cancelTimer?.();
    this.#pages.clear();
  }

  /** Forgets the pages that nobody has wanted since the last time. */
  #lookThrough(): void {
    this.#cancelTimer = undefined;
    for (const key of this.#pages.keys()) {
      this.#retain(key, (page) => {
        const { isRecent } = page;
        page.isRecent = false;
        return isRecent;
      });
    }
    if (this.#pages.size > 0) {
      this.#cancelTimer = this.#clock.after(KEPT_MS, () => this.#lookThrough());
    }
  }

  #retain(key: string, isKept: (page: CachedPage<T>) => boolean): void {
    const retained: CachedPage<T>[] = [];
    for (const page of this.#pages.get(key) ?? []) {
      if (isKept(page)) retained.push(page);
      else this.#bytes -= page.bytes;
    }
    if (retained.length > 0) this.#pages.set(key, retained);
    else this.#pages.delete(key);
  }
}
