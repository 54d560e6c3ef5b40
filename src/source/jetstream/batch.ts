import type { SourceMessage } from "../../core/ports/source.ts";
import type { Answer } from "../requests.ts";
import type { StreamApi } from "./stream-api.ts";
import { readDelivery, StreamMessage } from "./stream-message.ts";

/** The most bytes of a batch, unless it is one message that has more. */
export const BATCH_BYTES = 512 * 1024;
/** How long a batch may take. */
const TIMEOUT_MS = 10_000;

/** Some messages of a consumer, in order. */
export interface Batch {
  readonly messages: readonly SourceMessage[];
  /** Whether the consumer had no more. */
  readonly end: boolean;
}

/** A consumer that batches are read from. */
export interface Reader {
  readonly api: StreamApi;
  readonly stream: string;
  readonly consumer: string;
  readonly origin: string;
}

/**
 * Reads a batch of a pull consumer, of at most so many messages.
 *
 * `fetch` of nats.js 2.29 is not used: it bounds either messages or bytes, and has no `no_wait`, so that the last
 * batch of a stream would take a second at least.
 */
export async function readBatch(reader: Reader, most: number): Promise<Batch> {
  const whole = await pull(reader, { batch: most, no_wait: true, max_bytes: BATCH_BYTES });
  // A message that is longer than a batch is read alone.
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
  const take = (answer: Answer): void => {
    const { msg } = answer;
    const delivery = readDelivery(msg.reply);
    if (delivery !== undefined) {
      pending = delivery.pending;
      const { unreadable } = api.requests.faults;
      messages.push(new StreamMessage(msg.subject, msg, origin, delivery, unreadable));
      if (messages.length === request.batch || pending === 0) done(pending === 0);
      return;
    }
    const { code, description } = answer.headers;
    if (code === 404 || code === 408) done(true);
    // "Message Size Exceeds MaxBytes": the next message does not fit.
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
