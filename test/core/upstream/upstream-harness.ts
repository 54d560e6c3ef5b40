import { TurnShare } from "../../../src/core/timing/turn-share.ts";
import type { UpstreamRefusal } from "../../../src/core/upstream/upstream-subscription.ts";
import {
  type UpstreamOptions,
  UpstreamSubscriptions,
} from "../../../src/core/upstream/upstream-subscriptions.ts";
import { FakeSource } from "../support/harness.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { turnsOf } from "../support/turns.ts";

/** What a source may say. */
export const NO: UpstreamRefusal = { reason: "no", isFinal: false };

/** How many steps of a turn each pattern takes, as in the code that is tested. */
const PATTERN_COST = 8;

/** UpstreamSubscriptions with a fake source and a manual clock. */
export class UpstreamHarness {
  readonly clock = new ManualClock();
  readonly source = new FakeSource();
  readonly turnShare: TurnShare;
  readonly upstream: UpstreamSubscriptions;
  sequence = 0;
  /** A test may change what is exposed. */
  readonly options: { demanded: readonly string[] };

  constructor(options: Partial<UpstreamOptions> = {}, patternsPerTurn = 512) {
    const all = {
      demanded: [">"],
      upstream: "demand",
      upstreamLingerMs: 0,
      maxLingering: 1000,
      maxLingeringBytes: 100_000,
      maxUpstreamPatterns: 100_000,
      ...options,
    } satisfies UpstreamOptions;
    this.options = all;
    const { clock, source } = this;
    this.turnShare = new TurnShare(turnsOf(clock, patternsPerTurn * PATTERN_COST));
    this.upstream = new UpstreamSubscriptions(all, {
      clock,
      source,
      turnShare: this.turnShare,
      sequence: () => this.sequence,
    });
    this.source.arrives = (pattern) => this.upstream.arrives(pattern);
  }

  /** How many timers are set after a turn of the event loop: the share of the turn itself needs none. */
  get timers(): number {
    this.clock.turn();
    return this.clock.timers;
  }

  /** Stops in the order in which the Broadcaster does. */
  stop(): void {
    this.turnShare.stop();
    this.upstream.stop();
  }

  /** The patterns that the source is subscribed to. */
  get patterns(): string[] {
    return [...this.source.patterns].sort();
  }

  /** Acquires patterns. @returns what is known of them: `true` once they arrive, or the refusal. */
  acquire(...subjects: string[]): { known: unknown } {
    const heard: { known: unknown } = { known: undefined };
    this.upstream.whenKnown(
      this.upstream.acquire(subjects),
      (refusal) => void Object.assign(heard, { known: refusal ?? true }),
    );
    return heard;
  }
}
