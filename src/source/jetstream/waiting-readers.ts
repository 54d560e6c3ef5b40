import type { StreamQuery } from "../../core/ports/source.ts";
import { PageReader } from "./page-reader.ts";
import type { StreamApi } from "./stream-api.ts";

/** The most readers that wait. */
const MOST = 32;
/** The most time that a reader waits; JetStream would delete its consumer later. */
const LONGEST_MS = 5_000;

interface Waiting {
  readonly reader: PageReader;
  readonly timer: ReturnType<typeof setTimeout>;
}

/** The readers on one connection whose next page nobody has asked for yet. */
export class WaitingReaders {
  readonly api: StreamApi;
  readonly #waiting = new Map<string, Waiting>();
  #isClosed = false;

  constructor(api: StreamApi) {
    this.api = api;
  }

  /** Whether one more reader may wait. */
  get hasRoom(): boolean {
    return !this.#isClosed && this.#waiting.size < MOST;
  }

  /** Returns a reader that comes to the page after a sequence: one that has waited for that, or a new one. */
  take(query: StreamQuery, after: number): PageReader {
    const key = keyOf(query, after);
    const waiting = this.#waiting.get(key);
    if (waiting === undefined) return new PageReader(this.api, query, after);
    this.#waiting.delete(key);
    clearTimeout(waiting.timer);
    return waiting.reader;
  }

  /** Lets a reader wait for the next page, or closes it if there are enough. */
  add(reader: PageReader): void {
    const key = keyOf(reader.query, reader.reached);
    if (!this.hasRoom || this.#waiting.has(key)) {
      reader.close();
      return;
    }
    const timer = setTimeout(() => {
      this.#waiting.delete(key);
      reader.close();
    }, LONGEST_MS);
    this.#waiting.set(key, { reader, timer });
  }

  /** Closes all of them, also those that would wait later. */
  close(): void {
    this.#isClosed = true;
    for (const { reader, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reader.close();
    }
    this.#waiting.clear();
  }
}

function keyOf({ origin, subjects }: StreamQuery, after: number): string {
  return `${origin} ${after} ${subjects.join(" ")}`;
}
