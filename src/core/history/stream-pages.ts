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
import { PageCache } from "./page-cache.ts";
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

/** The most bytes of a shared snapshot that are kept for clients that read it more slowly than others. */
const SNAPSHOT_BYTES = 2 * 1024 * 1024;
/** A client that asks while the same snapshot is read shares the next one, which begins after this time at the latest. */
const NEXT_SNAPSHOT_MS = 1000;
/** The most requests to the source at the same time, for all clients together. */
const MOST_READS = 16;

/** Reads what streams have kept: each page once for all clients that ask at about the same time. */
export class StreamPages {
  readonly #history: StreamHistory;
  readonly #encoder: EnvelopeEncoder;
  readonly #clock: Clock;
  readonly #meter: Meter;
  readonly #cache: PageCache<EncodedPage>;
  readonly #pages = new SingleFlight<EncodedPage | undefined>();
  readonly #extents = new SingleFlight<StreamExtent | undefined>();
  /** By query, the snapshot that is read next, or now. */
  readonly #readers = new Map<string, SharedReader<EncodedPage>>();
  readonly #reads: ConcurrencyLimiter;

  constructor(history: StreamHistory, encoder: EnvelopeEncoder, clock: Clock, meter: Meter) {
    this.#meter = meter;
    this.#history = history;
    this.#encoder = encoder;
    this.#clock = clock;
    this.#cache = new PageCache(clock);
    this.#reads = new ConcurrencyLimiter(clock, MOST_READS, Number.POSITIVE_INFINITY);
  }

  /** See {@linkcode StreamHistory}. */
  selects(subjects: readonly string[]): boolean {
    return this.#history.selects(subjects);
  }

  /**
   * Returns messages after a sequence, at least one unless there is none; see {@linkcode StreamHistory.read}.
   *
   * @param keptOnly whether only what the stream still keeps is wanted: then a page that was read before is used
   * only if nothing of it was deleted since.
   * @param owner the user who asks; see {@linkcode ConcurrencyLimiter}.
   */
  async read(
    query: StreamQuery,
    after: number,
    keptOnly: boolean,
    owner: string,
  ): Promise<EncodedPage | undefined> {
    const key = `${query.origin} ${query.subjects.join(" ")}`;
    const cached = this.#cache.find(key, after);
    if (cached !== undefined) {
      const first = keptOnly ? await this.#firstOf(query.origin, cached.page) : 1;
      if (first !== undefined) return messagesAfter(cached.page, after, first);
      this.#cache.forget(key, cached);
    }
    return await this.#pages.get(`${key} ${after}`, keptOnly, () =>
      this.#read(key, query, after, owner),
    );
  }

  /**
   * Yields the latest messages; see {@linkcode StreamHistory.latest}. If the source can't select the subjects, all
   * clients that ask at about the same time read the same messages, and other subjects are among them.
   *
   * @param carried the subjects that are carried of the stream.
   * @param owner as for `read`.
   */
  async *latest(
    query: StreamQuery,
    of: "last" | "last_per_subject",
    carried: readonly string[],
    owner: string,
  ): AsyncGenerator<EncodedPage, void, void> {
    if (of === "last" || this.selects(query.subjects)) {
      yield* this.#readShared(query, of, owner);
      return;
    }
    const snapshot = await this.#inTurn(owner, () => this.#history.snapshot(query));
    if (snapshot !== undefined) yield this.#encode(snapshot);
    else yield* this.#readShared({ ...query, subjects: carried }, of, owner);
  }

  /** Reads together with all clients that ask for the same before the reading begins. */
  async *#readShared(
    query: StreamQuery,
    of: "last" | "last_per_subject",
    owner: string,
  ): AsyncGenerator<EncodedPage, void, void> {
    const key = `${of} ${query.origin} ${query.subjects.join(" ")}`;
    let reader = this.#readers.get(key);
    if (reader === undefined || reader.hasBegun) {
      const before = reader?.over;
      const begun = (): void => {
        next.hasBegun = true;
      };
      const next = new SharedReader(this.#latest(query, of, owner, before, begun), SNAPSHOT_BYTES);
      reader = next;
      this.#readers.set(key, next);
      void next.over.then(() => {
        if (this.#readers.get(key) === next) this.#readers.delete(key);
      });
    }
    if (yield* reader.read()) return;
    // This client is slower than the others, who need not wait for it.
    yield* this.#latest(query, of, owner);
  }

  /** @param before waits for this first, but not for long. @param begun called when the source is asked. */
  async *#latest(
    query: StreamQuery,
    of: "last" | "last_per_subject",
    owner: string,
    before?: Promise<void>,
    begun?: () => void,
  ): AsyncGenerator<EncodedPage, void, void> {
    if (before !== undefined) {
      await new Promise<void>((resolve) => {
        const cancel = this.#clock.after(NEXT_SNAPSHOT_MS, resolve);
        void before.then(cancel).then(resolve);
      });
    }
    const pages = this.#history.latest(query, of);
    try {
      for (;;) {
        const { value, done } = await this.#inTurn(owner, () => {
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

  /** See {@linkcode StreamHistory.before}. @param owner as for `read`. */
  async before(origin: string, timeMs: number, owner: string): Promise<number | undefined> {
    return await this.#inTurn(owner, () => this.#history.before(origin, timeMs));
  }

  /** Returns what a stream keeps now. */
  async extent(origin: string): Promise<StreamExtent | undefined> {
    return await this.#extents.get(origin, true, () =>
      this.#inTurn(undefined, () => this.#history.extent(origin)),
    );
  }

  /** Keeps no page any more. */
  stop(): void {
    this.#cache.stop();
  }

  /** Returns the first sequence that the stream keeps, if it still keeps all of a page after it. */
  async #firstOf(origin: string, { removed }: EncodedPage): Promise<number | undefined> {
    const extent = await this.extent(origin);
    if (extent === undefined) return undefined;
    return removed === extent.removed || isWhole(extent) ? extent.first : undefined;
  }

  async #read(
    key: string,
    query: StreamQuery,
    after: number,
    owner: string,
  ): Promise<EncodedPage | undefined> {
    const read = await this.#inTurn(owner, () => this.#history.read(query, after));
    if (read === undefined) return undefined;
    const page = this.#encode(read);
    // The last page may grow at any moment.
    if (!page.end) this.#cache.keep(key, after, page);
    return page;
  }

  #encode({ messages, ...rest }: StreamPage): EncodedPage {
    const wallMs = this.#clock.wallMs();
    this.#meter.messagesReplayed += messages.length;
    const encode = (message: SourceMessage): Envelope => {
      const { origin, sequence } = message.position!;
      const position = { origin, sequence, serial: 0 };
      return this.#encoder.encode(message, position, message.timestampMs ?? wallMs);
    };
    return { ...rest, envelopes: messages.map(encode) };
  }

  /** Asks the source as soon as fewer than the most requests are open. */
  async #inTurn<T>(owner: string | undefined, ask: () => Promise<T>): Promise<T> {
    const give = await this.#reads.take(undefined, owner);
    return await ask().finally(give);
  }
}

/** Whether a stream keeps everything after its first message. */
export function isWhole({ first, removed }: StreamExtent): boolean {
  return removed === first - 1;
}

function messagesAfter(page: EncodedPage, after: number, first: number): EncodedPage {
  const envelopes = page.envelopes.filter(({ sequence }) => sequence > after && sequence >= first);
  return { ...page, first: Math.max(page.first, first), envelopes };
}
