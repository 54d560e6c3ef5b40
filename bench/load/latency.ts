/** Each bucket's bound is this much above the one below: quantiles are right to within 1 %. */
const LOG_STEP = Math.log(1.01);

/** Latencies in microseconds, in buckets: the memory is bounded however many there are. */
export class Latencies {
  readonly #buckets = new Uint32Array(2048);
  #count = 0;
  #maxUs = 0;

  add(us: number): void {
    const bucket = Math.ceil(Math.log(Math.max(1, us)) / LOG_STEP);
    this.#buckets[Math.min(bucket, this.#buckets.length - 1)]!++;
    this.#count++;
    if (us > this.#maxUs) this.#maxUs = us;
  }

  /** Returns the median and the 99th percentile; nothing without samples. */
  quantiles(): { p50Us?: number; p99Us?: number } {
    if (this.#count === 0) return {};
    return { p50Us: this.#quantileUs(0.5), p99Us: this.#quantileUs(0.99) };
  }

  #quantileUs(share: number): number {
    let left = share * this.#count;
    for (let bucket = 0; bucket < this.#buckets.length; bucket++) {
      left -= this.#buckets[bucket]!;
      if (left <= 0) return Math.min(this.#maxUs, Math.round(Math.exp(bucket * LOG_STEP)));
    }
    return this.#maxUs;
  }
}
