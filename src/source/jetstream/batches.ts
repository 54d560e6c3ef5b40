import type { SourceMessage, StreamQuery } from "../../core/ports/source.ts";
import { PatternSet } from "../pattern-set.ts";
import { BATCH_BYTES, type Batch, readBatch } from "./batch.ts";
import { allowsDirect, getDirectly } from "./direct-get.ts";
import { filterOf, nanoseconds, type StreamApi, type StreamInfo } from "./stream-api.ts";

/** JetStream deletes a consumer that lost its reader after this long. */
const INACTIVE_MS = 10_000;
/** The most messages of the first batch, which should come soon. */
const FIRST_MESSAGES = 512;
/** The most messages of later batches. */
const MOST_MESSAGES = 2048;

/** Some or all messages of a stream. */
export interface BatchQuery {
  readonly origin: string;
  /** `undefined`: all of them. */
  readonly subjects: readonly string[] | undefined;
}

/** Reads batches of the messages after a sequence: directly as far as that goes, and by a consumer from there. */
export async function* batchesAfter(
  api: StreamApi,
  info: StreamInfo,
  query: StreamQuery,
  after: number,
): AsyncGenerator<Batch, void, void> {
  let reached = after;
  let most = FIRST_MESSAGES;
  const filter = filterOf(query.subjects, api);
  const isDirect = allowsDirect(api, info) && !("filter_subjects" in filter.config);
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
    // Another replica may have more.
    const end = answer.pending === 0 && info.replicas === 1;
    const isWanted = ({ subject }: SourceMessage) => patterns?.matches(subject) !== false;
    yield { messages: answer.messages.filter(isWanted), end };
    if (end) return;
  }
  const start = { deliver_policy: "by_start_sequence", opt_start_seq: reached + 1 };
  yield* consumerBatches(api, query, start, MOST_MESSAGES, most);
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
  const patterns = new PatternSet(subjects);
  let reached = 0;
  let size = first;
  // nats-server 2.9 sends a message again for each deleted one before it.
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
      yield { messages: messages.filter(isNew), end };
      if (end) return;
    }
  } finally {
    api.deleteConsumer(stream, consumer);
  }
}

/** Returns the name of the stream of an origin. */
export function nameOf(origin: string): string {
  return origin.slice(0, origin.lastIndexOf(":"));
}
