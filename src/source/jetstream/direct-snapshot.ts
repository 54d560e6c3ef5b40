import type { StreamPage, StreamQuery } from "../../core/ports/source.ts";
import { withoutCovered } from "../../core/subject/subject.ts";
import { PatternSet } from "../pattern-set.ts";
import type { Answer } from "../requests.ts";
import type { StreamApi, StreamInfo } from "./stream-api.ts";
import { StreamMessage } from "./stream-message.ts";

/** The most subjects that nats-server answers for at once. */
const MOST_SUBJECTS = 1024;
const MOST_BYTES = 4 * 1024 * 1024;
const TIMEOUT_MS = 5_000;

/**
 * Reads the latest message of each subject in one answer, without a consumer. The stream must have
 * `allow_direct`, and the server must be 2.11 or newer (ADR-31).
 *
 * Any replica may answer. An answer counts only if it is whole, as the next page might come from a replica that
 * lags. Otherwise returns `undefined`: a consumer has to read the stream.
 *
 * `direct.getBatch` of nats.js 2.29 is not used: it takes a message without data, such as the marker of a deleted
 * key, for the end, and doesn't say whether the answer is whole.
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
    // The server writes its own headers after the publisher's, which may have the same names. Only a message
    // has a subject; the last answer has a status.
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
    // If the publisher's headers can't be read, neither can the server's, which follow them.
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
