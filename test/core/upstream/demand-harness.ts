import { Demand, type DemandOptions } from "../../../src/core/upstream/demand.ts";
import type { UpstreamRefusal } from "../../../src/core/upstream/want.ts";
import { FakeSource } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";

/** What a source may say. */
export const NO: UpstreamRefusal = { reason: "no", isFinal: false };

/** A demand with everything around it fake. */
export class DemandBench {
  readonly clock = new ManualClock();
  readonly source = new FakeSource();
  readonly demand: Demand;
  sequence = 0;

  constructor(options: Partial<DemandOptions> = {}, stepsPerTurn?: number) {
    const all = {
      subjects: [">"],
      upstream: "demand",
      upstreamLingerMs: 0,
      maxLingering: 1000,
      maxLingeringBytes: 100_000,
      maxUpstreamPatterns: 100_000,
      ...options,
    } as const;
    this.demand = new Demand(all, this.clock, this.source, () => this.sequence, stepsPerTurn);
    this.source.arrives = (pattern) => this.demand.arrives(pattern);
  }

  /** What is subscribed to upstream. */
  get patterns(): string[] {
    return [...this.source.patterns].sort();
  }

  /** Wants patterns. @returns what was heard of them: `true` once they arrive. */
  want(...subjects: string[]): { known: unknown } {
    const heard: { known: unknown } = { known: undefined };
    this.demand.want(subjects, (refusal) => void Object.assign(heard, { known: refusal ?? true }));
    return heard;
  }
}
