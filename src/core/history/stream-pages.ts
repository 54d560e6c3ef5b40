import type { Meter } from "../metering/meter.ts";
import type { Clock } from "../ports/clock.ts";
import type {
  SourceMessage,
  StreamExtent,
  StreamHistory,
  StreamPage,
  StreamQuery,
} from "../ports/source.ts";
import { ConcurrencyLimiter } from "../timing/concurrency-limiter.ts";
import type { Envelope, EnvelopeEncoder } from "../wire/envelope.ts";
import { SharedReader } from "./shared-reader.ts";
import { SingleFlight } from "./single-flight.ts";

/** A page of a stream, ready for clients. */
export interface EncodedPage {
  readonly envelopes: readonly Envelope[];
  readonly end: boolean;
  readonly first: number;
  readonly last: number;
  readonly sparse: boolean;
  /** See {@linkcode StreamPage}. */
  readonly removed?: number | undefined;
}

interface CachedPage {
  readonly after: number;
  readonly upTo: number;
  readonly page: EncodedPage;
  readonly bytes: number;
}

/** Pages are asked for by clients that come back together, at nearly the same place. */
const CACHE_BYTES = 16 * 1024 * 1024;
/** The memory of a page besides its messages. */
const PAGE_BYTES = 512;
/** The most bytes of a shared snapshot that are kept for clients that read it more slowly than others. */
const WALK_BYTES = 2 * 1024 * 1024;
/** A client that asks while the same snapshot is read shares the next one, which begins after this time at the latest. */
const NEXT_WALK_MS = 1000;
/** The most requests to the source that are under way at the same time, for all clients together. */
const MOST_READS = 16;

/** Reads what streams have kept, each page once for all that ask for it at about the same time. */
export class StreamPages {
  readonly #history: StreamHistory;
  readonly #encoder: EnvelopeEncoder;
  readonly #clock: Clock;
  readonly #meter: Meter;
  /** By query, those that were read last; the oldest one first. */
  readonly #cached = new Map<string, CachedPage[]>();
  readonly #pages = new SingleFlight<EncodedPage | undefined>();
  readonly #extents = new SingleFlight<StreamExtent | undefined>();
  /** By query, the snapshot that is to be read next, or is read now. */
  readonly #walks = new Map<string, SharedReader<EncodedPage>>();
  readonly #reads: ConcurrencyLimiter;
  #bytes = 0;

  constructor(history: StreamHistory, encoder: EnvelopeEncoder, clock: Clock, meter: Meter) {
    this.#meter = meter;
    this.#history = history;
    this.#encoder = encoder;
    this.#clock = clock;
    this.#reads = new ConcurrencyLimiter(clock, MOST_READS, Number.POSITIVE_INFINITY);
  }

  /** See {@linkcode StreamHistory}. */
  selects(subjects: readonly string[]): boolean {
    return this.#history.selects(subjects);
  }

  /**
   * The messages behind a sequence, at least one unless there is none; see {@linkcode StreamHistory.read}.
   *
   * @param isExact whether only what the stream still keeps is wanted: then a page that was read before
   * counts if nothing of it is gone since.
   */
  async read(
    query: StreamQuery,
    after: number,
    isExact: boolean,
  ): Promise<EncodedPage | undefined> {
    const key = `${query.origin} ${query.subjects.join(" ")}`;
    const cached = this.#cached.get(key)?.find((one) => one.after <= after && after < one.upTo);
    if (cached !== undefined) {
      const first = isExact ? await this.#firstOf(query.origin, cached.page) : 1;
      if (first !== undefined) return behind(cached.page, after, first);
      this.#forget(key, cached);
    }
    return await this.#pages.get(`${key} ${after}`, isExact, () => this.#read(key, query, after));
  }

  /**
   * The latest messages; see {@linkcode StreamHistory.latest}. There may be others among them, where the
   * source can't select: all that ask at about the same time then read the same ones.
   *
   * @param carried all that is carried of the stream.
   */
  async *latest(
    query: StreamQuery,
    of: "last" | "last_per_subject",
    carried: readonly string[],
  ): AsyncGenerator<EncodedPage, void, void> {
    if (of === "last" || this.selects(query.subjects)) {
      yield* this.#walk(query, of);
      return;
    }
    const snapshot = await this.#inTurn(() => this.#history.snapshot(query));
    if (snapshot !== undefined) yield this.#encode(snapshot);
    else yield* this.#walk({ ...query, subjects: carried }, of);
  }

  /** Reads with all others that ask for the same before it begins: what is gone by then is not sent. */
  async *#walk(
    query: StreamQuery,
    of: "last" | "last_per_subject",
  ): AsyncGenerator<EncodedPage, void, void> {
    const key = `${of} ${query.origin} ${query.subjects.join(" ")}`;
    let walk = this.#walks.get(key);
    if (walk === undefined || walk.hasBegun) {
      const before = walk?.over;
      const begun = (): void => {
        next.hasBegun = true;
      };
      const next = new SharedReader(this.#latest(query, of, before, begun), WALK_BYTES);
      walk = next;
      this.#walks.set(key, next);
      void next.over.then(() => {
        if (this.#walks.get(key) === next) this.#walks.delete(key);
      });
    }
    if (yield* walk.read()) return;
    // It is slower than the others, who are not to wait for it.
    yield* this.#latest(query, of);
  }

  /** @param before what it waits for, but not for long. @param begun called when the source is asked. */
  async *#latest(
    query: StreamQuery,
    of: "last" | "last_per_subject",
    before?: Promise<void>,
    begun?: () => void,
  ): AsyncGenerator<EncodedPage, void, void> {
    if (before !== undefined) {
      await new Promise<void>((resolve) => {
        const cancel = this.#clock.after(NEXT_WALK_MS, resolve);
        void before.then(cancel).then(resolve);
      });
    }
    const pages = this.#history.latest(query, of);
    try {
      for (;;) {
        const { value, done } = await this.#inTurn(() => {
          begun?.();
          return pages.next();
        });
        if (done === true) return;
        yield this.#encode(value);
      }
    } finally {
      await pages.return();
    }
  }

  /** See {@linkcode StreamHistory.before}. */
  async before(origin: string, timeMs: number): Promise<number | undefined> {
    return await this.#inTurn(() => this.#history.before(origin, timeMs));
  }

  /** Looks up what a stream keeps now. */
  async extent(origin: string): Promise<StreamExtent | undefined> {
    return await this.#extents.get(origin, true, () =>
      this.#inTurn(() => this.#history.extent(origin)),
    );
  }

  /** The first message that the stream still keeps, if it keeps all behind that of a page; `undefined` if not. */
  async #firstOf(origin: string, { removed }: EncodedPage): Promise<number | undefined> {
    const extent = await this.extent(origin);
    if (extent === undefined) return undefined;
    return removed === extent.removed || isWhole(extent) ? extent.first : undefined;
  }

  async #read(key: string, query: StreamQuery, after: number): Promise<EncodedPage | undefined> {
    const read = await this.#inTurn(() => this.#history.read(query, after));
    if (read === undefined) return undefined;
    const page = this.#encode(read);
    // The last page grows at any moment.
    if (!page.end) this.#keep(key, after, page);
    return page;
  }

  #encode({ messages, ...rest }: StreamPage): EncodedPage {
    const wallMs = this.#clock.wallMs();
    this.#meter.messagesReplayed += messages.length;
    const encode = (message: SourceMessage): Envelope =>
      this.#encoder.encode(
        message,
        { ...message.position!, serial: 0 },
        message.timestampMs ?? wallMs,
      );
    return { ...rest, envelopes: messages.map(encode) };
  }

  /** Asks the source when it is not asked for too much. */
  async #inTurn<T>(ask: () => Promise<T>): Promise<T> {
    const give = await this.#reads.take();
    return await ask().finally(give);
  }

  #keep(key: string, after: number, page: EncodedPage): void {
    const upTo = page.envelopes.at(-1)?.sequence ?? after;
    const bytes = page.envelopes.reduce((sum, { byteLength }) => sum + byteLength, PAGE_BYTES);
    const pages = this.#cached.get(key) ?? [];
    pages.push({ after, upTo, page, bytes });
    // A query that was asked last goes last.
    this.#cached.delete(key);
    this.#cached.set(key, pages);
    this.#bytes += bytes;
    while (this.#bytes > CACHE_BYTES) {
      const [oldest, [first]] = this.#cached.entries().next().value as [string, CachedPage[]];
      this.#forget(oldest, first as CachedPage);
    }
  }

  #forget(key: string, page: CachedPage): void {
    const pages = this.#cached.get(key) ?? [];
    const others = pages.filter((other) => other !== page);
    if (others.length < pages.length) this.#bytes -= page.bytes;
    if (others.length > 0) this.#cached.set(key, others);
    else this.#cached.delete(key);
  }
}

/** Whether a stream keeps all that is behind its first message. */
export function isWhole({ first, removed }: StreamExtent): boolean {
  return removed === first - 1;
}

function behind(page: EncodedPage, after: number, first: number): EncodedPage {
  const envelopes = page.envelopes.filter(({ sequence }) => sequence > after && sequence >= first);
  return { ...page, first: Math.max(page.first, first), envelopes };
}
