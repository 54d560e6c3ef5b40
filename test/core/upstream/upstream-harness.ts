import type { UpstreamRefusal } from "../../../src/core/upstream/upstream-subscription.ts";
import {
  type UpstreamOptions,
  UpstreamSubscriptions,
} from "../../../src/core/upstream/upstream-subscriptions.ts";
import { FakeSource } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";

/** What a source may say. */
export const NO: UpstreamRefusal = { reason: "no", isFinal: false };

/** A demand with everything around it fake. */
export class UpstreamHarness {
  readonly clock = new ManualClock();
  readonly source = new FakeSource();
  readonly upstream: UpstreamSubscriptions;
  sequence = 0;

  constructor(options: Partial<UpstreamOptions> = {}, stepsPerTurn?: number) {
    const all = {
      subjects: [">"],
      upstream: "demand",
      upstreamLingerMs: 0,
      maxLingering: 1000,
      maxLingeringBytes: 100_000,
      maxUpstreamPatterns: 100_000,
      ...options,
    } as const;
    this.upstream = new UpstreamSubscriptions(
      all,
      this.clock,
      this.source,
      () => this.sequence,
      stepsPerTurn,
    );
    this.source.arrives = (pattern) => this.upstream.arrives(pattern);
  }

  /** What is subscribed to upstream. */
  get patterns(): string[] {
    return [...this.source.patterns].sort();
  }

  /** Wants patterns. @returns what was heard of them: `true` once they arrive. */
  acquire(...subjects: string[]): { known: unknown } {
    const heard: { known: unknown } = { known: undefined };
    this.upstream.acquire(
      subjects,
      (refusal) => void Object.assign(heard, { known: refusal ?? true }),
    );
    return heard;
  }
}
