import { reasonOf, SpillwayError } from "../../core/ports/errors.ts";
import type {
  StreamExtent,
  StreamHistory,
  StreamPage,
  StreamQuery,
} from "../../core/ports/source.ts";
import { consumerBatches, hasMore, nameOf, ReplicaLagError } from "./batches.ts";
import { allowsDirect, getDirectly } from "./direct-get.ts";
import { readDirectSnapshot } from "./direct-snapshot.ts";
import { FailureDeadline } from "./failure-deadline.ts";
import { isSelective, type StreamApi, StreamApiError, type StreamInfo } from "./stream-api.ts";
import { WaitingReaders } from "./waiting-readers.ts";

/** The most messages of a page of the latest ones. */
const PAGE_MESSAGES = 512;

/**
 * Reads what streams keep: directly where the stream and the server allow that, otherwise by pull consumers, each of
 * which serves pages that follow each other, or one snapshot.
 *
 * A request fails with a SpillwayError `STREAM_REFUSED` if JetStream refuses it until an operator changes
 * something, or has not served such requests for long.
 */
export class JetStreamHistory implements StreamHistory {
  readonly #api: () => StreamApi;
  #readers: WaitingReaders | undefined;
  /** The streams that can't be read, each with the deadline for that. */
  readonly #deadlines = new Map<
    string,
    { readonly api: StreamApi; readonly deadline: FailureDeadline }
  >();

  /** @param api returns JetStream's API on the present connection; throws if there is none. */
  constructor(api: () => StreamApi) {
    this.#api = api;
  }

  selects(subjects: readonly string[]): boolean {
    return isSelective(subjects, this.#api());
  }

  async extent(origin: string): Promise<StreamExtent | undefined> {
    return await this.#judged({ origin }, async (api) => {
      const info = await found(() => api.stream(nameOf(origin)));
      return info?.origin === origin ? info : undefined;
    });
  }

  async read(query: StreamQuery, after: number): Promise<StreamPage | undefined> {
    return await this.#judged(query, async (api) => {
      const readers = this.#readersOn(api);
      const reader = readers.take(query, after);
      let page: StreamPage | undefined;
      try {
        page = await found(() => reader.read(readers.hasRoom));
      } finally {
        if (page === undefined || page.end) reader.close();
        else readers.add(reader);
      }
      return page;
    });
  }

  async *latest(
    query: StreamQuery,
    of: "last" | "last_per_subject",
  ): AsyncGenerator<StreamPage, void, void> {
    const pages = await this.#judged(query, async (api) => readLatest(api, query, of));
    try {
      for (;;) {
        const { value, done } = await this.#judged(query, () => pages.next());
        if (done === true) return;
        yield value;
      }
    } finally {
      // If the caller returns early, the consumer is deleted.
      await pages.return();
    }
  }

  async snapshot(query: StreamQuery): Promise<StreamPage | undefined> {
    return await this.#judged(query, async (api) => {
      const stream = nameOf(query.origin);
      const info = await found(() => api.stream(stream));
      if (info === undefined || info.origin !== query.origin) return undefined;
      return await readDirectSnapshot(api, info, stream, query);
    });
  }

  async before(origin: string, timeMs: number): Promise<number | undefined> {
    return await this.#judged({ origin }, (api) => findBefore(api, origin, timeMs));
  }

  /** The connection is lost, or given up. */
  close(): void {
    this.#readers?.close();
  }

  #readersOn(api: StreamApi): WaitingReaders {
    if (this.#readers?.api !== api) {
      this.#readers?.close();
      this.#readers = new WaitingReaders(api);
    }
    return this.#readers;
  }

  /** Reads, and tells failures that are final from others. */
  async #judged<T>(
    { origin }: { readonly origin: string },
    read: (api: StreamApi) => Promise<T>,
  ): Promise<T> {
    const api = this.#api();
    const stream = nameOf(origin);
    try {
      const result = await read(api);
      this.#deadlines.delete(stream);
      return result;
    } catch (thrown) {
      if (api.connection.isClosed() || api !== this.#api()) throw thrown;
      let known = this.#deadlines.get(stream);
      if (known?.api !== api) known = { api, deadline: new FailureDeadline() };
      this.#deadlines.set(stream, known);
      if (!known.deadline.isFinal(thrown)) throw thrown;
      const message = `stream ${stream} can't be read: ${reasonOf(thrown)}`;
      api.requests.faults.refused(message);
      throw new SpillwayError("STREAM_REFUSED", message, { cause: thrown });
    }
  }
}

async function* readLatest(
  api: StreamApi,
  query: StreamQuery,
  of: "last" | "last_per_subject",
): AsyncGenerator<StreamPage, void, void> {
  const stream = nameOf(query.origin);
  // The snapshot ends at this moment. JetStream makes its own a little later; newer messages come live.
  const info = await found(() => api.stream(stream));
  if (info === undefined || info.origin !== query.origin) return;
  const direct =
    of === "last_per_subject" ? await readDirectSnapshot(api, info, stream, query) : undefined;
  if (direct !== undefined) {
    yield direct;
    return;
  }
  const { first, last } = info;
  // That older messages of a subject are left out is no hole.
  const sparse = false;
  for await (const batch of consumerBatches(api, query, { deliver_policy: of }, PAGE_MESSAGES)) {
    const messages = batch.messages.filter(({ position }) => position!.sequence <= last);
    const end = batch.end || messages.length < batch.messages.length;
    const { filter, reached } = batch;
    const isBehind = batch.end && (await hasMore(api, query, filter, reached, info));
    // A replica that lags has an earlier snapshot, unless it has nothing yet.
    if (isBehind && reached === 0) throw new ReplicaLagError();
    const upTo = isBehind ? reached : last;
    if (messages.length > 0 || end) yield { messages, end, first, last: upTo, sparse };
    if (end) return;
  }
}

async function findBefore(
  api: StreamApi,
  origin: string,
  timeMs: number,
): Promise<number | undefined> {
  const stream = nameOf(origin);
  const time = new Date(timeMs).toISOString();
  return await found(async () => {
    const info = await api.stream(stream);
    if (info.origin !== origin) return undefined;
    if (allowsDirect(api, info)) {
      const request = { start_time: time, batch: 1, max_bytes: 1 };
      const answer = await getDirectly(api, stream, origin, request);
      const sequence = answer?.messages[0]?.position.sequence;
      if (sequence !== undefined) return sequence - 1;
    }
    const start = { deliver_policy: "by_start_time", opt_start_time: time };
    for await (const { messages } of consumerBatches(
      api,
      { origin, subjects: undefined },
      start,
      1,
    )) {
      const sequence = messages[0]?.position?.sequence;
      if (sequence !== undefined) return sequence - 1;
    }
    const mayLag = info.replicas > 1 && info.lastMs >= timeMs;
    return mayLag ? await searchBefore(api, info, timeMs) : info.last;
  });
}

/** Finds the sequence before the first message of a time or later at the stream's leader, by halves: replicas don't have it yet. */
async function searchBefore(
  api: StreamApi,
  { origin, first, last }: StreamInfo,
  timeMs: number,
): Promise<number> {
  let before = first - 1;
  let upTo = last;
  while (before < upTo) {
    const middle = Math.floor((before + upTo) / 2);
    const next = await api.messageAfter(nameOf(origin), middle, ">");
    if (next === undefined || next.timestampMs >= timeMs) upTo = middle;
    else before = next.sequence;
  }
  return before;
}

/** Returns `undefined` if the stream does not exist. */
async function found<T>(ask: () => Promise<T>): Promise<T | undefined> {
  try {
    return await ask();
  } catch (thrown) {
    if (thrown instanceof StreamApiError && thrown.isNotFound) return undefined;
    throw thrown;
  }
}
