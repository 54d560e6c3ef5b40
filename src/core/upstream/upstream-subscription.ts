/** The moment from which all messages of a pattern arrive. */
export interface Arrival {
  /** The number of the last message that came before. */
  readonly sequence: number;
  /** Counts arrivals. */
  readonly number: number;
}

/** Why the source does not subscribe to a pattern. */
export interface UpstreamRefusal {
  /** In words for people. */
  readonly reason: string;
  /** Whether the pattern itself is impossible, so that the source does not try again. */
  readonly isFinal: boolean;
}

/** Waits until it is known whether patterns arrive. */
export interface Waiter {
  /** One of the patterns arrives, or is refused. */
  check(): void;
  /** Whether it still waits; others are dropped. */
  isWaiting(): boolean;
}

/** A pattern that clients use, or used a moment ago. */
export class UpstreamSubscription {
  readonly pattern: string;
  /** How many subscriptions of clients use it. */
  users = 1;
  /** It has no users and is kept for a while, for clients that reconnect. */
  lingers = false;
  /** It has no users and is kept until all that it covers arrives in another way. */
  leaving = false;
  /** The source is subscribed to the pattern itself. */
  subscribed = false;
  /** The source has confirmed its own subscription. */
  confirmed = false;
  /** The wider subscription of the source that brings this pattern's messages. */
  cover: UpstreamSubscription | undefined;
  /** The narrower patterns whose messages this one brings. */
  covered: Set<UpstreamSubscription> | undefined;
  /** The source's own subscriptions to narrower patterns have been ended. */
  swept = false;
  /** The arrival since which all of its messages come, by itself or by its cover; `undefined`: they don't yet. */
  since: Arrival | undefined;
  /** Why the source does not subscribe to it. */
  refusal: UpstreamRefusal | undefined;
  #waiters: Waiter[] = [];

  constructor(pattern: string) {
    this.pattern = pattern;
  }

  get isNeeded(): boolean {
    return this.users > 0 || this.lingers;
  }

  /** The source has neither confirmed nor refused it. */
  get isPending(): boolean {
    return this.since === undefined && this.refusal === undefined;
  }

  /** From now on, its messages come with a wider pattern, or with none. */
  setCover(cover: UpstreamSubscription | undefined): void {
    this.cover?.covered?.delete(this);
    this.cover = cover;
    if (cover === undefined) return;
    cover.covered ??= new Set();
    cover.covered.add(this);
  }

  /** Calls the waiter once it is known whether the pattern arrives. Keeps about as many waiters as users. */
  addWaiter(waiter: Waiter): void {
    if (this.#waiters.length >= Math.max(16, 2 * this.users)) {
      this.#waiters = this.#waiters.filter((other) => other.isWaiting());
    }
    this.#waiters.push(waiter);
  }

  /** Forgets all waiters: the last user is gone. */
  dropWaiters(): void {
    this.#waiters = [];
  }

  callWaiters(): void {
    if (this.#waiters.length === 0) return;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) waiter.check();
  }
}
