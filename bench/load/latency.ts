/** Each bucket's bound is so much above the one below: quantiles are right to within 1 %. */
const LOG_STEP = Math.log(1.01);

/** Latencies in microseconds, kept in buckets: the memory is bounded however many there are. */
export class Latencies {
  readonly #buckets = new Uint32Array(2048);
  count = 0;
  maxUs = 0;

  add(us: number): void {
    const bucket = Math.ceil(Math.log(Math.max(1, us)) / LOG_STEP);
    this.#buckets[Math.min(bucket, this.#buckets.length - 1)]!++;
    this.count++;
    if (us > this.maxUs) this.maxUs = us;
  }

  /** The latency that a share of all, 0 to 1, does not exceed; 0 where there is none. */
  quantileUs(share: number): number {
    let left = share * this.count;
    if (this.count === 0) return 0;
    for (let bucket = 0; bucket < this.#buckets.length; bucket++) {
      left -= this.#buckets[bucket]!;
      if (left <= 0) return Math.min(this.maxUs, Math.round(Math.exp(bucket * LOG_STEP)));
    }
    return this.maxUs;
  }
}
