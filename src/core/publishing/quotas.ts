import { type Grant, userKey } from "../access/grant.ts";
import type { Clock } from "../ports/clock.ts";
import { RateLimit } from "../timing/rate-limit.ts";

/** The client of a message, with or without a connection. */
export interface Sender {
  readonly grant: Grant;
  /** The number of its connection, for the log. Default: it has none. */
  readonly number?: number;
  /** Its address, for the log. */
  readonly address: string;
  /** The group that its address is counted in. */
  readonly addressGroup: string;
}

/** The present use of the gateway by one user, or by the anonymous clients of one address. */
export interface Quota {
  readonly rate: RateLimit;
  /** Messages and requests that wait for their answers, and the bytes of their data. */
  places: number;
  bytes: number;
  /** Bytes of the answers that the requests may get: at most, and as far as the gateway expects it. */
  largestAnswers: number;
  expectedAnswers: number;
  /** Clients that have not read all of their answers. */
  readonly readers: Set<AnswerReader>;
}

/** A connection whose client has got answers. */
export interface AnswerReader {
  readonly isOver: boolean;
  readonly writer: { readonly bufferedBytes: number };
}

export interface QuotaLimits {
  /** The messages per second that a quota allows in the long run. */
  readonly maxPublishesPerSecond: number;
}

/** A client may publish so many seconds' worth at once. */
const BURST_SECONDS = 2;
/** The most quotas: more than there can be messages that wait, so that some quota is always unused. */
const MAX_QUOTAS = 20_000;

/**
 * Knows the quota of each user, and of each address for anonymous clients, so that a new connection is no new quota. A
 * quota is forgotten when it is as good as a new one.
 */
export class Quotas {
  readonly #clock: Clock;
  readonly #limits: QuotaLimits;
  /** The one that was used last is the last one. */
  readonly #byKey = new Map<string, Quota>();

  constructor(clock: Clock, limits: QuotaLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  of({ grant, addressGroup }: Sender): Quota {
    const key = userKey(grant.terms.principal, addressGroup);
    const known = this.#byKey.get(key);
    const { maxPublishesPerSecond } = this.#limits;
    const rate = [
      maxPublishesPerSecond,
      maxPublishesPerSecond * BURST_SECONDS,
      this.#clock.nowMs(),
    ] as const;
    if (known !== undefined) {
      this.#byKey.delete(key);
      this.#byKey.set(key, known);
      known.rate.become(...rate);
      return known;
    }
    this.#forget();
    const quota: Quota = {
      rate: new RateLimit(...rate),
      ...{ places: 0, bytes: 0, largestAnswers: 0, expectedAnswers: 0 },
      readers: new Set(),
    };
    this.#byKey.set(key, quota);
    return quota;
  }

  /** Forgets the quotas that were not used for the longest time: those that are full again, or any if there are too many. */
  #forget(): void {
    const nowMs = this.#clock.nowMs();
    for (const [key, quota] of this.#byKey) {
      // If there are too many quotas, one that is only unread gives way.
      const isUnread = this.#byKey.size < MAX_QUOTAS && hasUnread(quota);
      if (quota.places > 0 || isUnread) {
        // The next call must not find it first again.
        this.#byKey.delete(key);
        this.#byKey.set(key, quota);
        if (this.#byKey.size < MAX_QUOTAS) return;
      } else if (quota.rate.isFull(nowMs) || this.#byKey.size >= MAX_QUOTAS) {
        this.#byKey.delete(key);
      } else return;
    }
  }
}

/** Whether a client has not read all of its answers; forgets those that have, or are gone. */
function hasUnread({ readers }: Quota): boolean {
  for (const reader of readers) {
    if (reader.isOver || reader.writer.bufferedBytes === 0) readers.delete(reader);
  }
  return readers.size > 0;
}
