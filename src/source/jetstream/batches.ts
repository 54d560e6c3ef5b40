import type { SourceMessage, StreamQuery } from "../../core/ports/source.ts";
import { PatternSet } from "../pattern-set.ts";
import { PermissionError } from "../requests.ts";
import { BATCH_BYTES, type Batch, readBatch } from "./batch.ts";
import { allowsDirect, getDirectly } from "./direct-get.ts";
import { filterOf, nanoseconds, type StreamApi, type StreamInfo } from "./stream-api.ts";

/** JetStream deletes a consumer that lost its reader after this long. */
const INACTIVE_MS = 10_000;
/** The most messages of the first batch, which should come soon. */
const FIRST_MESSAGES = 512;
/** The most messages of later batches. */
const MOST_MESSAGES = 2048;
/** The most patterns for which a stream's leader is asked at a time: nats-server drops all requests if too many wait. */
const MOST_ASKED = 16;

/** Some or all messages of a stream. */
export interface BatchQuery {
  readonly origin: string;
  /** `undefined`: all of them. */
  readonly subjects: readonly string[] | undefined;
}

/** Some messages that a consumer sent. */
interface ConsumerBatch extends Batch {
  /** The last sequence that was read, whether its subject is wanted or not; if there is none, the one before the start. */
  readonly reached: number;
  /** The subjects that the consumer sends. */
  readonly filter: Filter;
}

type Filter = Readonly<Record<string, unknown>>;

/**
 * Reads batches of the messages after a sequence: directly as far as that goes, and by a consumer from there.
 *
 * @param described returns the stream as its leader described it last: there is no end before its last message.
 * @throws Error if the replica that is read lags behind the leader. A later attempt may read another one.
 */
export async function* batchesAfter(
  api: StreamApi,
  query: StreamQuery,
  after: number,
  described: () => StreamInfo,
): AsyncGenerator<Batch, void, void> {
  let reached = after;
  let most = FIRST_MESSAGES;
  const filter = filterOf(query.subjects, api);
  const isDirect = allowsDirect(api, described()) && !("filter_subjects" in filter.config);
  const patterns = filter.exact ? undefined : new PatternSet(query.subjects);
  while (isDirect) {
    const answer = await getDirectly(api, nameOf(query.origin), query.origin, {
      seq: reached + 1,
      next_by_subj: String(filter.config.filter_subject ?? ">"),
      batch: most,
      max_bytes: BATCH_BYTES,
    });
    const last = answer?.messages.at(-1)?.position.sequence;
    if (answer === undefined || last === undefined) break;
    reached = last;
    most = MOST_MESSAGES;
    const isOver = answer.pending === 0;
    const end = isOver && !(await hasMore(api, query, filter.config, reached, described()));
    const isWanted = ({ subject }: SourceMessage) => patterns?.matches(subject) !== false;
    yield { messages: answer.messages.filter(isWanted), end };
    if (end) return;
  }
  const start = { deliver_policy: "by_start_sequence", opt_start_seq: reached + 1 };
  for await (const batch of consumerBatches(api, query, start, MOST_MESSAGES, most)) {
    const { messages, end: isOver, filter } = batch;
    reached = Math.max(reached, batch.reached);
    const isBehind = isOver && (await hasMore(api, query, filter, reached, described()));
    yield { messages, end: isOver && !isBehind };
    if (isBehind) throw new ReplicaLagError();
  }
}

/** A consumer or a direct get has read a replica that lags behind the stream's leader. */
export class ReplicaLagError extends Error {
  constructor() {
    super("the replica that was read lags behind the stream's leader");
  }
}

/**
 * Reads batches of a new consumer until it has no more, or the caller returns.
 *
 * @param most the most messages of a batch. @param first those of the first one. Default: as many.
 */
export async function* consumerBatches(
  api: StreamApi,
  { origin, subjects }: BatchQuery,
  start: Record<string, unknown>,
  most: number,
  first = most,
): AsyncGenerator<ConsumerBatch, void, void> {
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
  const sent = filters ? filter.config : {};
  const patterns = new PatternSet(subjects);
  let reached = Number(start.opt_start_seq ?? 1) - 1;
  let size = first;
  // nats-server 2.9 sends a message again for each deleted one before it; 2.10 begins earlier if its replica lags.
  const isNew = (message: SourceMessage): boolean => {
    const { sequence } = message.position!;
    if (sequence <= reached) return false;
    reached = sequence;
    return (filter.exact && filters) || patterns.matches(message.subject);
  };
  try {
    for (;;) {
      const { messages, end } = await readBatch({ api, stream, consumer, origin }, size);
      size = most;
      const wanted = messages.filter(isNew);
      yield { messages: wanted, end, reached, filter: sent };
      if (end) return;
    }
  } finally {
    api.deleteConsumer(stream, consumer);
  }
}

/**
 * Whether the leader of a stream has messages that fit a filter after a sequence, up to the last one when it described the stream.
 * A consumer and a direct get read a replica. One that stood still or was cut off says that there is no more
 * until it has caught up.
 */
export async function hasMore(
  api: StreamApi,
  { origin }: BatchQuery,
  { filter_subject = ">", filter_subjects = [filter_subject] }: Filter,
  reached: number,
  { replicas, last }: StreamInfo,
): Promise<boolean> {
  if (replicas === 1 || reached >= last) return false;
  const patterns = filter_subjects as readonly string[];
  try {
    for (let n = 0; n < patterns.length; n += MOST_ASKED) {
      const asked = patterns.slice(n, n + MOST_ASKED);
      const next = await Promise.all(
        asked.map((pattern) => api.messageAfter(nameOf(origin), reached, pattern)),
      );
      if (next.some((found) => found !== undefined && found.sequence <= last)) return true;
    }
    return false;
  } catch (thrown) {
    if (!(thrown instanceof PermissionError)) throw thrown;
    api.requests.faults.denied(thrown);
    return false;
  }
}

/** Returns the name of the stream of an origin. */
export function nameOf(origin: string): string {
  return origin.slice(0, origin.lastIndexOf(":"));
}
