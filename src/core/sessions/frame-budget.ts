/** Bounds the frames of one client. */
export interface FrameLimits {
  readonly maxFramesPerSecond: number;
  readonly maxSubscriptions: number;
}

/** How long an unused budget is saved. */
const BURST_SECONDS = 5;
/** A subscription changes what is matched, and what is asked of NATS. */
const SUBSCRIPTION_COST = 10;
/** To use a durable asks JetStream several questions, and may make a consumer. */
const DURABLE_COST = 10;
/** To check a token costs more than to read it: a signature is verified, or a service is asked. */
export const AUTH_COST = 20;
/** To publish a message costs NATS a message, and the gateway an answer. */
export const PUBLISH_COST = 3;
/** A pattern that the client did not name, but its grant has of what it named, costs this part of one that it named. */
const GRANTED_COST = 1 / 8;
/** Every further byte of this many costs as much as another frame. */
const BYTES_PER_COST = 512;
/** How often a message may be answered for nothing: `working`, and `ack` or `nack`, of each time that it was sent. */
const FREE_ANSWERS = 2;

/** Returns the cost of a frame by its length. */
export function costOf(frame: string | Uint8Array): number {
  return 1 + Math.floor(frame.length / BYTES_PER_COST);
}

/** Returns the cost of a `subscribe` or `unsubscribe` in addition to that of its length. */
export function subscriptionCost(patterns = 0, isDurable = false): number {
  return SUBSCRIPTION_COST + patterns + (isDurable ? DURABLE_COST : 0);
}

/** Returns the cost of patterns that a client has, beside those that it names in a frame. */
export function grantedCost(patterns: number): number {
  return Math.ceil(Math.max(0, patterns) * GRANTED_COST);
}

/**
 * Bounds the frames that a client may send: a token bucket. Answers to messages cost nothing as long as
 * there are no more of them than the client was sent messages, so that a client that acknowledges all it
 * gets is never held to be too fast.
 */
export class FrameBudget {
  readonly #limits: FrameLimits;
  #left: number;
  #atMs: number;
  #answers = 0;

  constructor(limits: FrameLimits, nowMs: number) {
    this.#limits = limits;
    this.#left = this.#most;
    this.#atMs = nowMs;
  }

  /** Spends a part of the budget. @returns whether there was so much. */
  spend(cost: number, nowMs: number): boolean {
    const earned = ((nowMs - this.#atMs) / 1000) * this.#limits.maxFramesPerSecond;
    this.#left = Math.min(this.#most, this.#left + earned) - cost;
    this.#atMs = nowMs;
    return this.#left >= 0;
  }

  /**
   * As {@linkcode spend}, for an acknowledgement.
   *
   * @param sent how many messages the client was sent so far, each time counted.
   */
  answer(cost: number, sent: number, nowMs: number): boolean {
    const free = Math.min(cost, Math.max(0, sent * FREE_ANSWERS - this.#answers));
    this.#answers += free;
    return free === cost || this.spend(cost - free, nowMs);
  }

  /** A client that reconnects makes all its subscriptions at once. */
  get #most(): number {
    const { maxFramesPerSecond, maxSubscriptions } = this.#limits;
    return maxFramesPerSecond * BURST_SECONDS + maxSubscriptions * 2 * SUBSCRIPTION_COST;
  }
}
