import type { SourceMessage } from "../../core/ports/source.ts";
import type { Answer } from "../requests.ts";
import type { StreamApi } from "./stream-api.ts";
import { readDelivery, StreamMessage } from "./stream-message.ts";

/** A batch has no more bytes than these, but one message at least. */
const BATCH_BYTES = 512 * 1024;
/** So long may one take. */
const TIMEOUT_MS = 10_000;

/** Some messages of a consumer, in order. */
export interface Batch {
  readonly messages: readonly SourceMessage[];
  /** Whether the consumer had no more. */
  readonly end: boolean;
}

/** A consumer that is asked for messages. */
export interface Reader {
  readonly api: StreamApi;
  readonly stream: string;
  readonly consumer: string;
  readonly origin: string;
}

/** Asks a consumer for a batch, and waits for all of it. */
export async function readBatch(reader: Reader, most: number): Promise<Batch> {
  const whole = await pull(reader, { batch: most, no_wait: true, max_bytes: BATCH_BYTES });
  // One message that is longer than a batch comes alone.
  return whole.tooLong ? await pull(reader, { batch: 1, no_wait: true }) : whole;
}

async function pull(
  { api, stream, consumer, origin }: Reader,
  request: { batch: number; no_wait: boolean; max_bytes?: number },
): Promise<Batch & { tooLong: boolean }> {
  const messages: SourceMessage[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<Batch & { tooLong: boolean }>();
  const done = (end: boolean, tooLong = false): void => resolve({ messages, end, tooLong });
  let pending = 1;
  const take = ({ msg, headers: { code, description } }: Answer): void => {
    const delivery = readDelivery(msg.reply);
    if (delivery !== undefined) {
      pending = delivery.pending;
      const { unreadable } = api.requests.faults;
      messages.push(new StreamMessage(msg.subject, msg, origin, delivery, unreadable));
      if (messages.length === request.batch || pending === 0) done(pending === 0);
      return;
    }
    if (code === 404 || code === 408) done(true);
    // "Message Size Exceeds MaxBytes": the next one does not fit any more.
    else if (code === 409 && /size|bytes/i.test(description)) done(false, messages.length === 0);
    else if (code >= 400) reject(new Error(description));
  };
  const close = api.requests.open(api.nextSubject(stream, consumer), JSON.stringify(request), {
    answer: take,
    failed: reject,
  });
  const timer = setTimeout(() => reject(new Error("JetStream does not answer")), TIMEOUT_MS);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    close();
  }
}
