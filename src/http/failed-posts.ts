import { RateLimit } from "../core/timing/rate-limit.ts";

/** An address may fail so many seconds' worth at once. */
const BURST_SECONDS = 2;
/** The most addresses that are remembered. */
const MAX_ADDRESSES = 10_000;

/** Bounds how often one address may send messages that its credentials don't allow: each costs the check of a token. */
export class FailedPosts {
  #perSecond: number;
  /** By group of addresses. The one that failed last is the last one. */
  readonly #byGroup = new Map<string, RateLimit>();

  /** @param perSecond how often one address may fail per second in the long run. */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** Allows another rate from now on; see `RateLimit`. */
  become(perSecond: number, nowMs: number): void {
    this.#perSecond = perSecond;
    for (const rate of this.#byGroup.values()) {
      rate.become(perSecond, perSecond * BURST_SECONDS, nowMs);
    }
  }

  /** Returns 0, or in how many milliseconds an address may try again. */
  waitMs(group: string, nowMs: number): number {
    const rate = this.#byGroup.get(group);
    if (rate === undefined || !rate.isEmpty(nowMs)) return 0;
    return Math.ceil(1000 / this.#perSecond);
  }

  /** Notes that an address has failed. */
  failed(group: string, nowMs: number): void {
    let rate = this.#byGroup.get(group);
    if (rate === undefined) {
      this.#forget(nowMs);
      rate = new RateLimit(this.#perSecond, this.#perSecond * BURST_SECONDS, nowMs);
    }
    this.#byGroup.delete(group);
    this.#byGroup.set(group, rate);
    rate.take(nowMs);
  }

  /**
   * Forgets the addresses that failed the longest time ago: those that may fail as often as new ones. If there are too
   * many, it forgets one that may post now; otherwise, others could free an address that has to wait.
   */
  #forget(nowMs: number): void {
    for (const [group, rate] of this.#byGroup) {
      if (!rate.isFull(nowMs)) break;
      this.#byGroup.delete(group);
    }
    if (this.#byGroup.size < MAX_ADDRESSES) return;
    // If all have to wait, the first one would be free again before the others.
    let [free] = this.#byGroup.keys();
    for (const [group, rate] of this.#byGroup) {
      if (rate.isEmpty(nowMs)) continue;
      free = group;
      break;
    }
    this.#byGroup.delete(free!);
  }
}
