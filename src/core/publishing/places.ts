import type { Refusal } from "../access/refusal.ts";
import { fairShareOf } from "../collections/fair-shares.ts";
import type { Quota } from "./quotas.ts";

/** The place that a message takes until it has its answer. */
export interface Cost {
  /** The length of its data. */
  readonly bytes: number;
  /** For a request: the bytes of the largest answer that may come, and of the one that is expected. */
  readonly answer?: { readonly largest: number; readonly expected: number };
}

/** A place of a message that waits for its answer. */
export interface Place {
  /** Gives the place back. It may be called again. */
  release(): void;
}

/** The most messages that wait for their answers. */
const MAX_PLACES = 10_000;
/** The most bytes of their data, unless `max_publish_bytes` is so large that only few messages would fit. */
const MAX_BYTES = 64 * 1024 ** 2;
const MIN_MESSAGES = 4;
/**
 * The most bytes of answers that may come at once. NATS cuts a connection with more than 64 MiB to read, by default: for
 * all clients.
 */
const MAX_ANSWER_BYTES = 48 * 1024 ** 2;
/** The most bytes of answers that one quota may get at once, however small they are expected to be. */
export const MAX_ANSWER_BYTES_PER_QUOTA = 32 * 1024 ** 2;
/** A quota may use as many places, if there are any, and more if its share is larger. */
const MIN_SHARED_PLACES = 128;

export const TOO_MANY: Refusal = {
  code: "too_many_requests",
  message: "too many messages wait for their answers",
  retryable: true,
};
const TOO_LARGE_ANSWERS: Refusal = {
  code: "too_many_requests",
  message: "too many requests wait for answers that may be large",
  retryable: true,
};

/** Shares out what messages may take until they have their answers, so that no client takes all of it. */
export class Places {
  readonly #maxBytes: number;
  readonly #meter: { inFlight: number };
  #count = 0;
  #bytes = 0;
  #expectedAnswers = 0;

  /**
   * @param maxMessageBytes the largest message.
   * @param meter knows how many messages have a place.
   */
  constructor(maxMessageBytes: number, meter: { inFlight: number }) {
    this.#maxBytes = Math.max(MAX_BYTES, MIN_MESSAGES * maxMessageBytes);
    this.#meter = meter;
  }

  /** Takes a place. @returns why there is none, or not for this quota. */
  take(quota: Quota, cost: Cost): Place | Refusal {
    const { bytes, answer = { largest: 0, expected: 0 } } = cost;
    if (this.#count >= MAX_PLACES) return TOO_MANY;
    const fairPlaces = Math.max(MIN_SHARED_PLACES, fairShareOf(MAX_PLACES - this.#count));
    if (quota.places >= fairPlaces) return TOO_MANY;
    const usedBytes = { all: this.#bytes, own: quota.bytes };
    if (!isShared(bytes, usedBytes, this.#maxBytes)) return TOO_MANY;
    if (!this.#hasAnswers(quota, answer)) return TOO_LARGE_ANSWERS;
    this.#change(quota, 1, bytes, answer);
    let isReleased = false;
    return {
      release: () => {
        if (isReleased) return;
        isReleased = true;
        this.#change(quota, -1, bytes, answer);
      },
    };
  }

  #hasAnswers(quota: Quota, { largest, expected }: NonNullable<Cost["answer"]>): boolean {
    const own = quota.largestAnswers;
    if (own > 0 && own + largest > MAX_ANSWER_BYTES_PER_QUOTA) return false;
    const used = { all: this.#expectedAnswers, own: quota.expectedAnswers };
    return isShared(expected, used, MAX_ANSWER_BYTES);
  }

  #change(
    quota: Quota,
    sign: 1 | -1,
    bytes: number,
    { largest, expected }: NonNullable<Cost["answer"]>,
  ): void {
    this.#count += sign;
    this.#meter.inFlight += sign;
    quota.places += sign;
    this.#bytes += sign * bytes;
    quota.bytes += sign * bytes;
    this.#expectedAnswers += sign * expected;
    quota.expectedAnswers += sign * expected;
    quota.largestAnswers += sign * largest;
  }
}

/** Whether there are so many bytes left for a quota. If nothing of it is used, one of any size fits. */
function isShared(
  bytes: number,
  { all, own }: { readonly all: number; readonly own: number },
  most: number,
): boolean {
  if (bytes === 0 || all === 0) return true;
  if (all + bytes > most) return false;
  return own === 0 || own + bytes <= fairShareOf(most - all);
}
