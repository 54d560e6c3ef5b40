import type { StreamPage, StreamQuery } from "../../core/ports/source.ts";
import type { Batch } from "./batch.ts";
import { batchesAfter, nameOf } from "./batches.ts";
import type { StreamApi, StreamInfo } from "./stream-api.ts";

/**
 * Reads the pages of a query one after another, at most with one consumer. It may ask for a batch ahead, so that this
 * one is under way while its caller has to do with the page before.
 */
export class PageReader {
  readonly query: StreamQuery;
  readonly #api: StreamApi;
  readonly #stream: string;
  #reached: number;
  #batches: AsyncGenerator<Batch, void, void> | undefined;
  /** A batch that was asked for ahead. */
  #ahead: Promise<Batch> | undefined;
  /** The stream's state at a moment before the next batch is read. */
  #before: StreamInfo | undefined;
  #asksAhead = true;

  constructor(api: StreamApi, query: StreamQuery, after: number) {
    this.#api = api;
    this.query = query;
    this.#stream = nameOf(query.origin);
    this.#reached = after;
  }

  /** The sequence that the next page begins after. */
  get reached(): number {
    return this.#reached;
  }

  /**
   * Reads the next page, unless a page had `end`; `undefined` if the stream no longer exists.
   *
   * @param mayAskAhead whether the reader may wait for who asks for the page after this one.
   */
  async read(mayAskAhead: boolean): Promise<StreamPage | undefined> {
    const before = this.#before ?? (await this.#api.stream(this.#stream));
    this.#before = before;
    if (before.origin !== this.query.origin) return undefined;
    const ahead = this.#ahead;
    const { messages, end: isEnd } = await (ahead ?? this.#next());
    this.#ahead = undefined;
    const reached = messages.at(-1)?.position?.sequence ?? 0;
    const end = isEnd || reached >= before.last;
    // Shows what was removed while the page was read; messages that were stored belong to the next page.
    const after = await this.#api.stream(this.#stream);
    this.#before = after;
    if (after.origin !== before.origin) return undefined;
    const start = messages[0]?.position?.sequence ?? after.first;
    const isKept = after.removed === before.removed || (!after.sparse && start >= after.first);
    if (ahead !== undefined && !isKept) {
      // The caller asked after this was read, and something of it may have been removed in between.
      this.#asksAhead = false;
      this.close();
      return await this.read(false);
    }
    this.#reached = reached;
    if (mayAskAhead && this.#asksAhead && !end) this.#askAhead();
    const { first, sparse } = after;
    return { messages, end, first, last: before.last, sparse, removed: before.removed };
  }

  /** Deletes its consumer. */
  close(): void {
    this.#ahead = undefined;
    // It ends as soon as the batch that was asked for has come.
    this.#batches?.return().catch(() => {});
    this.#batches = undefined;
  }

  #askAhead(): void {
    this.#ahead = this.#next();
    // The page's reader gets the error; there may be none.
    this.#ahead.catch(() => {});
  }

  /** Returns the next messages that the query selects. */
  async #next(): Promise<Batch> {
    const described = (): StreamInfo => this.#before!;
    this.#batches ??= batchesAfter(this.#api, this.query, this.#reached, described);
    for (;;) {
      const { value, done } = await this.#batches.next();
      // Closed meanwhile.
      if (done === true) throw new Error("the reading was given up");
      if (value.messages.length > 0 || value.end) return value;
    }
  }
}
