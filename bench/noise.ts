import type { Measurement } from "./measure/measurement.ts";

/**
 * A measurement is noisy, and made again, when the hypervisor took more of the machine than this, or
 * other programs more of one core …
 */
const MOST_STEAL = 0.03;
const MOST_OTHERS = 0.1;
/** … so many times at the most; then the least noisy one counts. */
const MOST_REPEATS = 2;

/** Makes measurements again that something disturbed, as long as there is time for it. */
export class Repeater {
  repeated = 0;
  readonly #mostRepeated: number;

  /** @param mostRepeated so many in all, so that a busy machine does not keep a run from ending. */
  constructor(mostRepeated: number) {
    this.#mostRepeated = mostRepeated;
  }

  async measure(once: () => Promise<Measurement>): Promise<Measurement> {
    let best = await once();
    for (let again = 0; again < MOST_REPEATS; again++) {
      if (noise(best) <= 1 || this.repeated >= this.#mostRepeated) break;
      this.repeated++;
      const next = await once();
      if (noise(next) < noise(best)) best = next;
    }
    return best;
  }
}

/** More than 1 is too much. A failure counts as noise: one that comes again is no accident. */
function noise({ stealShare, cpuShares, failure }: Measurement): number {
  if (failure !== undefined) return Number.POSITIVE_INFINITY;
  return Math.max(stealShare / MOST_STEAL, (cpuShares.others ?? 0) / MOST_OTHERS);
}
