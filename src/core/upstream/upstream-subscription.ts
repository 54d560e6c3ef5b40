/** Something began to arrive. */
export interface Arrival {
  /** Behind the message of this number. */
  readonly sequence: number;
  /** Counts arrivals. */
  readonly number: number;
}

/** Why the source does not subscribe to a pattern. */
export interface UpstreamRefusal {
  /** In words for people. */
  readonly reason: string;
  /** Whether the pattern itself is not possible, so that it is not tried again. */
  readonly isFinal: boolean;
}

/** Somebody waits until it is known whether patterns arrive. */
export interface Waiter {
  known(): void;
  /** Whether it still waits; a waiter that doesn't is forgotten. */
  goesOn(): boolean;
}

/** A pattern that somebody wants, or wanted a moment ago. */
export class UpstreamSubscription {
  readonly pattern: string;
  users = 1;
  /** Whether nobody wants it any more, and it is kept for clients that come back. */
  lingers = false;
  /** Whether nobody wants it any more, and it is kept until all that comes with it comes otherwise. */
  leaving = false;
  /** Whether the source is subscribed to the pattern itself. */
  subscribed = false;
  /** Whether the source has confirmed that. */
  confirmed = false;
  /** The wider one, to which the source is subscribed, that it comes with. */
  cover: UpstreamSubscription | undefined;
  /** The narrower patterns that come with this one. */
  covered: Set<UpstreamSubscription> | undefined;
  /** Whether narrower ones that the source was subscribed to come with this one now. */
  swept = false;
  /** Since when every message has come, of itself or of what covers it; `undefined`: not yet. */
  since: Arrival | undefined;
  /** Why the source may not subscribe to it. */
  refusal: UpstreamRefusal | undefined;
  /** Told once, when it arrives or the source says that it may not. */
  waiters: Waiter[] = [];

  /** Somebody begins to want a pattern. */
  constructor(pattern: string) {
    this.pattern = pattern;
  }

  get isNeeded(): boolean {
    return this.users > 0 || this.lingers;
  }

  /** Whether it is not known whether it arrives. */
  get isPending(): boolean {
    return this.since === undefined && this.refusal === undefined;
  }

  /** Comes with a wider one from now on, or with none. */
  comeWith(cover: UpstreamSubscription | undefined): void {
    this.cover?.covered?.delete(this);
    this.cover = cover;
    if (cover === undefined) return;
    cover.covered ??= new Set();
    cover.covered.add(this);
  }

  /** Waits with those that wait already; no more of them are kept than want it. */
  await(waiter: Waiter): void {
    if (this.waiters.length >= Math.max(16, 2 * this.users)) {
      this.waiters = this.waiters.filter((other) => other.goesOn());
    }
    this.waiters.push(waiter);
  }

  /** Tells all waiters that it is known whether the pattern arrives. */
  tell(): void {
    if (this.waiters.length === 0) return;
    const waiters = this.waiters;
    this.waiters = [];
    for (const waiter of waiters) waiter.known();
  }
}
