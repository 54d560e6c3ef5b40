/** Values sorted into buckets, as a Prometheus histogram has them. */
export class Distribution {
  readonly bounds: readonly number[];
  /** How many values fell under each bound and above the one before; one more for all above. */
  readonly counts: number[];
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Array(bounds.length + 1).fill(0);
  }

  /** @param times how often the value was seen. */
  add(value: number, times = 1): void {
    let index = 0;
    while (index < this.bounds.length && value > this.bounds[index]!) index++;
    this.counts[index]! += times;
    this.sum += value * times;
  }
}
