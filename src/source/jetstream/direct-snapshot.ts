import type { StreamPage, StreamQuery } from "../../core/ports/source.ts";
import { withoutCovered } from "../../core/subject/subject.ts";
import { PatternSet } from "../pattern-set.ts";
import type { Answer } from "../requests.ts";
import type { StreamApi, StreamInfo } from "./stream-api.ts";
import { StreamMessage } from "./stream-message.ts";

/** nats-server answers for so many subjects at once. */
const MOST_SUBJECTS = 1024;
const MOST_BYTES = 4 * 1024 * 1024;
const TIMEOUT_MS = 5_000;

/**
 * The latest message of each subject in one answer, without a consumer: where the stream has
 * `allow_direct` and the server is 2.11 or newer (ADR-31).
 *
 * Any replica may answer, so an answer counts only where it is whole: the next page might be of one that
 * is behind. `undefined`: read it by a consumer.
 */
export async function readDirectSnapshot(
  api: StreamApi,
  info: StreamInfo,
  stream: string,
  { origin, subjects }: StreamQuery,
): Promise<StreamPage | undefined> {
  if (!info.allowsDirect || !api.isAtLeast(2, 11)) return undefined;
  const patterns = new PatternSet();
  for (const subject of subjects) patterns.add(subject);
  const messages: StreamMessage[] = [];
  const { promise, resolve } = Promise.withResolvers<StreamPage | undefined>();
  const take = ({ msg, headers }: Answer): void => {
    // The server writes its own headers behind those that were published, which may have the same names, or
    // a status. Only what was published has a subject.
    const subject = headers.last("Nats-Subject");
    if (subject === undefined) {
      const last = Number(headers.last("Nats-UpTo-Sequence"));
      const isWhole = headers.code === 204 && headers.last("Nats-Num-Pending") === "0";
      const isGood = isWhole && Number.isSafeInteger(last) && last > 0;
      resolve(isGood ? { messages, end: true, first: info.first, last, sparse: false } : undefined);
      return;
    }
    const sequence = Number(headers.last("Nats-Sequence"));
    const timestampMs = Date.parse(headers.last("Nats-Time-Stamp") ?? "");
    // The server writes its own headers behind those of the publisher: if these can't be read, neither can those.
    if (!Number.isSafeInteger(sequence) || sequence < 1 || Number.isNaN(timestampMs)) {
      resolve(undefined);
      return;
    }
    if (!patterns.matches(subject)) return;
    const place = { sequence, timestampMs };
    messages.push(new StreamMessage(subject, msg, origin, place, api.requests.faults.unreadable));
  };
  const request = {
    multi_last: withoutCovered(subjects),
    batch: MOST_SUBJECTS,
    max_bytes: MOST_BYTES,
  };
  const close = api.requests.open(api.directSubject(stream), JSON.stringify(request), {
    answer: take,
    failed: () => resolve(undefined),
  });
  const timer = setTimeout(() => resolve(undefined), TIMEOUT_MS);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    close();
  }
}
