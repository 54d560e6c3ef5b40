/** Bounds how often something happens: a token bucket. */
export class RateLimit {
  #perMs: number;
  #most: number;
  #left: number;
  #atMs: number;

  /**
   * @param perSecond how often it may happen in the long run.
   * @param burst how often it may happen at once, after a pause.
   */
  constructor(perSecond: number, burst: number, nowMs: number) {
    this.#perMs = perSecond / 1000;
    this.#most = burst;
    this.#left = burst;
    this.#atMs = nowMs;
  }

  /**
   * Takes one, if there is one.
   *
   * @param left how many must be left then. Default: 0.
   * @returns 0, or in how many milliseconds there will be one.
   */
  take(nowMs: number, left = 0): number {
    this.#refill(nowMs);
    if (this.#left < left + 1) return Math.ceil((left + 1 - this.#left) / this.#perMs);
    this.#left--;
    return 0;
  }

  /** Allows another rate from now on. The part of the burst that is left stays the same. */
  become(perSecond: number, burst: number, nowMs: number): void {
    this.#refill(nowMs);
    this.#perMs = perSecond / 1000;
    // A factor of 1 would round a whole number down, too.
    if (burst !== this.#most) this.#left = burst * (this.#left / this.#most);
    this.#most = burst;
  }

  /** Whether there is none to take. */
  isEmpty(nowMs: number): boolean {
    this.#refill(nowMs);
    return this.#left < 1;
  }

  /** Whether nothing was taken that isn't there again: a new limit would allow as much. */
  isFull(nowMs: number): boolean {
    this.#refill(nowMs);
    return this.#left === this.#most;
  }

  #refill(nowMs: number): void {
    this.#left = Math.min(this.#most, this.#left + (nowMs - this.#atMs) * this.#perMs);
    this.#atMs = nowMs;
  }
}
