import { RateLimit } from "./rate-limit.ts";

/** The share of the rate and of the burst that a key may take before it has to leave this part of the burst to other keys. */
const SHARE = 1 / 4;
/** The most keys that are remembered. */
const MAX_KEYS = 10_000;

/** Bounds how often something happens, so that a key that takes all that it can get leaves something to others. */
export class FairRateLimit {
  #perSecond: number;
  #burst: number;
  readonly #all: RateLimit;
  /** The shares of the keys. The one that was used last is the last one. */
  readonly #shares = new Map<string, RateLimit>();

  /** See `RateLimit`; for all keys together. */
  constructor(perSecond: number, burst: number, nowMs: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#all = new RateLimit(perSecond, burst, nowMs);
  }

  /** Takes one for a key, if there is one. @returns 0, or in how many milliseconds there will be one. */
  take(key: string, nowMs: number): number {
    const share = this.#shareOf(key, nowMs);
    const left = share.isEmpty(nowMs) ? this.#burst * SHARE : 0;
    const waitMs = this.#all.take(nowMs, left);
    if (waitMs === 0) share.take(nowMs);
    return waitMs;
  }

  /** Allows another rate from now on; see `RateLimit`. */
  become(perSecond: number, burst: number, nowMs: number): void {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#all.become(perSecond, burst, nowMs);
    for (const share of this.#shares.values()) share.become(...this.#share, nowMs);
  }

  /** The rate and the burst of a key. */
  get #share(): readonly [perSecond: number, burst: number] {
    return [this.#perSecond * SHARE, Math.max(1, this.#burst * SHARE)];
  }

  #shareOf(key: string, nowMs: number): RateLimit {
    let share = this.#shares.get(key);
    if (share === undefined) {
      this.#forget(nowMs);
      share = new RateLimit(...this.#share, nowMs);
    }
    this.#shares.delete(key);
    this.#shares.set(key, share);
    return share;
  }

  /** Forgets the shares that were not used for the longest time: those that are full again, or one if there are too many. */
  #forget(nowMs: number): void {
    for (const [key, share] of this.#shares) {
      if (!share.isFull(nowMs) && this.#shares.size < MAX_KEYS) return;
      this.#shares.delete(key);
    }
  }
}
