import type { StreamPage, StreamQuery } from "../../core/ports/source.ts";
import { withoutCovered } from "../../core/subject/pattern-index.ts";
import { PatternSet } from "../pattern-set.ts";
import { allowsDirect, getDirectly } from "./direct-get.ts";
import type { StreamApi, StreamInfo } from "./stream-api.ts";

/** The most subjects that nats-server answers for at once. */
const MOST_SUBJECTS = 1024;
const MOST_BYTES = 4 * 1024 * 1024;

/**
 * Reads the latest message of each subject in one answer, without a consumer; see {@linkcode getDirectly}.
 *
 * An answer counts only if it is whole, as the next page might come from a replica that lags. Otherwise returns
 * `undefined`: a consumer has to read the stream.
 */
export async function readDirectSnapshot(
  api: StreamApi,
  info: StreamInfo,
  stream: string,
  { origin, subjects }: StreamQuery,
): Promise<StreamPage | undefined> {
  if (!allowsDirect(api, info)) return undefined;
  const answer = await getDirectly(api, stream, origin, {
    multi_last: withoutCovered(subjects),
    batch: MOST_SUBJECTS,
    max_bytes: MOST_BYTES,
  });
  if (answer === undefined || answer.pending > 0) return undefined;
  const { upTo: last } = answer;
  if (!Number.isSafeInteger(last) || last < 1) return undefined;
  const patterns = new PatternSet(subjects);
  const messages = answer.messages.filter(({ subject }) => patterns.matches(subject));
  return { messages, end: true, first: info.first, last, sparse: false };
}
