/** Bounds how often something happens: a token bucket. */
export class RateLimit {
  readonly #perMs: number;
  readonly #most: number;
  #left: number;
  #atMs: number;

  /**
   * @param perSecond how often it may happen for ever.
   * @param burst how often it may happen at once, after a pause.
   */
  constructor(perSecond: number, burst: number, nowMs: number) {
    this.#perMs = perSecond / 1000;
    this.#most = burst;
    this.#left = burst;
    this.#atMs = nowMs;
  }

  /** Takes one, if there is one. @returns 0, or in how many milliseconds there will be one. */
  take(nowMs: number): number {
    this.#left = Math.min(this.#most, this.#left + (nowMs - this.#atMs) * this.#perMs);
    this.#atMs = nowMs;
    if (this.#left < 1) return Math.ceil((1 - this.#left) / this.#perMs);
    this.#left--;
    return 0;
  }
}
