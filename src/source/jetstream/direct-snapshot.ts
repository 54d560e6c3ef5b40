import type { StreamPage, StreamQuery } from "../../core/source.ts";
import { withoutCovered } from "../../core/subject.ts";
import type { Msg } from "../connect.ts";
import { Patterns } from "../patterns.ts";
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
  const patterns = new Patterns();
  for (const subject of subjects) patterns.add(subject);
  const messages: StreamMessage[] = [];
  const { promise, resolve } = Promise.withResolvers<StreamPage | undefined>();
  const take = (msg: Msg): void => {
    const { headers } = msg;
    if (headers === undefined || headers.code >= 400) {
      resolve(undefined);
      return;
    }
    if (headers.code === 204) {
      const whole = headers.get("Nats-Num-Pending") === "0";
      const last = Number(headers.get("Nats-UpTo-Sequence"));
      resolve(
        whole && last > 0
          ? { messages, end: true, first: info.first, last, sparse: false }
          : undefined,
      );
      return;
    }
    const subject = headers.get("Nats-Subject");
    if (!patterns.carry(subject)) return;
    const sequence = Number(headers.get("Nats-Sequence"));
    const timestampMs = Date.parse(headers.get("Nats-Time-Stamp"));
    messages.push(new StreamMessage(subject, msg, origin, { sequence, timestampMs }));
  };
  const inbox = `_INBOX.${crypto.randomUUID().replaceAll("-", "")}`;
  const subscription = api.connection.subscribe(inbox, {
    callback: (error, msg) => (error === null ? take(msg) : resolve(undefined)),
  });
  const timer = setTimeout(() => resolve(undefined), TIMEOUT_MS);
  try {
    const request = {
      multi_last: withoutCovered(subjects),
      batch: MOST_SUBJECTS,
      max_bytes: MOST_BYTES,
    };
    api.connection.publish(api.directSubject(stream), JSON.stringify(request), { reply: inbox });
    return await promise;
  } finally {
    clearTimeout(timer);
    subscription.unsubscribe();
  }
}
