import { reasonOf, SpillwayError } from "../../core/ports/errors.ts";
import type {
  SourceMessage,
  StreamExtent,
  StreamHistory,
  StreamPage,
  StreamQuery,
} from "../../core/ports/source.ts";
import { PatternSet } from "../pattern-set.ts";
import { type Batch, readBatch } from "./batch.ts";
import { readDirectSnapshot } from "./direct-snapshot.ts";
import { FailureDeadline } from "./failure-deadline.ts";
import {
  filterOf,
  isSelective,
  nanoseconds,
  type StreamApi,
  StreamApiError,
} from "./stream-api.ts";

/** The most messages of a page. */
const PAGE_MESSAGES = 512;
/** JetStream deletes a consumer that lost its reader after this long. */
const INACTIVE_MS = 10_000;

/**
 * Reads what streams keep, by pull consumers that live as long as one page or one snapshot.
 *
 * A request fails with a SpillwayError `STREAM_REFUSED` if JetStream refuses it until an operator changes
 * something, or has not served such requests for long.
 */
export class JetStreamHistory implements StreamHistory {
  readonly #api: () => StreamApi;
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
    return await this.#judged(query, (api) => readPage(api, query, after));
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

async function readPage(
  api: StreamApi,
  query: StreamQuery,
  after: number,
): Promise<StreamPage | undefined> {
  const start = { deliver_policy: "by_start_sequence", opt_start_seq: after + 1 };
  return await found(async () => {
    const { origin, last, removed } = await api.stream(nameOf(query.origin));
    if (origin !== query.origin) return undefined;
    const batches = batchesOf(api, query, start, PAGE_MESSAGES);
    for await (const { messages, end } of batches) {
      if (messages.length === 0 && !end) continue;
      // Shows what was removed while the page was read; messages that were stored belong to the next page.
      const { origin: still, first, sparse } = await api.stream(nameOf(query.origin));
      if (still !== query.origin) return undefined;
      const reached = messages.at(-1)?.position?.sequence ?? 0;
      return { messages, end: end || reached >= last, first, last, sparse, removed };
    }
    return undefined;
  });
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
  for await (const batch of batchesOf(api, query, { deliver_policy: of }, PAGE_MESSAGES)) {
    const messages = batch.messages.filter(({ position }) => position!.sequence <= last);
    const end = batch.end || messages.length < batch.messages.length;
    if (messages.length > 0 || end) yield { messages, end, first, last, sparse };
    if (end) return;
  }
}

async function findBefore(
  api: StreamApi,
  origin: string,
  timeMs: number,
): Promise<number | undefined> {
  const start = { deliver_policy: "by_start_time", opt_start_time: new Date(timeMs).toISOString() };
  return await found(async () => {
    for await (const { messages } of batchesOf(api, { origin, subjects: undefined }, start, 1)) {
      const sequence = messages[0]?.position?.sequence;
      if (sequence !== undefined) return sequence - 1;
    }
    const info = await api.stream(nameOf(origin));
    return info.origin === origin ? info.last : undefined;
  });
}

/** Reads batches of a new consumer until it has no more, or the caller returns. */
async function* batchesOf(
  api: StreamApi,
  { origin, subjects }: { origin: string; subjects: readonly string[] | undefined },
  start: Record<string, unknown>,
  most: number,
): AsyncGenerator<Batch, void, void> {
  const stream = nameOf(origin);
  const filter = subjects === undefined ? { config: {}, exact: true } : filterOf(subjects, api);
  // JetStream requires a filter for the last message of each subject.
  const isPerSubject = start.deliver_policy === "last_per_subject";
  const needed = isPerSubject && !("filter_subjects" in filter.config);
  const { name: consumer, filters } = await api.createConsumer(stream, {
    ...(needed && { filter_subject: ">" }),
    ...filter.config,
    ...start,
    inactive_threshold: nanoseconds(INACTIVE_MS),
  });
  const patterns = new PatternSet();
  for (const subject of subjects ?? []) patterns.add(subject);
  let reached = 0;
  // nats-server 2.9 sends a message again for each deleted one before it.
  const isNew = (message: SourceMessage): boolean => {
    const { sequence } = message.position!;
    if (sequence <= reached) return false;
    reached = sequence;
    return (filter.exact && filters) || patterns.matches(message.subject);
  };
  try {
    for (;;) {
      const { messages, end } = await readBatch({ api, stream, consumer, origin }, most);
      yield { messages: messages.filter(isNew), end };
      if (end) return;
    }
  } finally {
    api.deleteConsumer(stream, consumer);
  }
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

function nameOf(origin: string): string {
  return origin.slice(0, origin.lastIndexOf(":"));
}
