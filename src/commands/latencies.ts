/** Buckets between a value and its double: a quantile is at most 5 % too high. */
const PER_DOUBLE = 16;
/** The upper end of the first bucket, in milliseconds. */
const LEAST_MS = 0.01;

/** Durations in milliseconds, of which quantiles can be read. Takes the same memory however many there are. */
export class Latencies {
  readonly #counts: number[] = [];
  #total = 0;
  max = 0;

  add(ms: number): void {
    const bucket = Math.max(0, Math.ceil(Math.log2(ms / LEAST_MS) * PER_DOUBLE));
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#total++;
    if (ms > this.max) this.max = ms;
  }

  /** Returns the value that a part of all don't exceed; 0 if there are none. */
  quantile(part: number): number {
    let left = this.#total * part;
    for (let bucket = 0; bucket < this.#counts.length; bucket++) {
      left -= this.#counts[bucket] ?? 0;
      if (left <= 0) return Math.min(this.max, LEAST_MS * 2 ** (bucket / PER_DOUBLE));
    }
    return this.max;
  }
}
