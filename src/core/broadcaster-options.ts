import type { GrantOptions } from "./access/grant.ts";
import type { Fanouts } from "./fanout/audience-registry.ts";
import type { FrameHandlerLimits } from "./frame-handler.ts";
import type { RingBounds } from "./history/ring.ts";
import type { Meter } from "./metering/meter.ts";
import type { Clock } from "./ports/clock.ts";
import type { Log } from "./ports/log.ts";
import type { ConnectionObserver } from "./ports/observer.ts";
import type { MessageSource, Publisher, StreamInput } from "./ports/source.ts";
import type { ConnectionLimits } from "./sessions/connection.ts";
import type { SessionOptions } from "./sessions/session-registry.ts";
import type { SubscriptionOptions } from "./subscribe/subscription-manager.ts";
import type { UpstreamOptions } from "./upstream/upstream-subscriptions.ts";
import type { EnvelopeEncoder } from "./wire/envelope.ts";

export interface BroadcasterOptions
  extends ConnectionLimits,
    FrameHandlerLimits,
    SubscriptionOptions,
    UpstreamOptions,
    GrantOptions,
    SessionOptions,
    RingBounds {
  /** The streams that messages come from; what they carry is exposed, and not demanded. */
  readonly streams: readonly StreamInput[];
  /** More clients than this are not let in. */
  readonly maxClients: number;
  /** Messages that arrive within so long of a flush leave with the next one; 0: each turn has its flush. */
  readonly flushIntervalMs: number;
  /** More than this may not wait for all clients together. */
  readonly maxTotalQueueBytes: number;
}

/** What a {@linkcode Broadcaster} stands on. */
export interface BroadcasterParts {
  readonly clock: Clock;
  readonly encoder: EnvelopeEncoder;
  readonly fanouts: Fanouts;
  readonly log: Log;
  readonly meter: Meter;
  /** Where messages come from; whoever starts it makes this broadcaster its listener. */
  readonly source: Pick<MessageSource, "subscribe" | "unsubscribe" | "history" | "durables">;
  /** Takes messages that were given up. */
  readonly deadLetters?: Publisher | undefined;
  /** Is told which clients connect and disconnect. */
  readonly observer?: ConnectionObserver | undefined;
  /** How much long work may do in one turn of the event loop; by default some milliseconds' worth. */
  readonly stepsPerTurn?: number | undefined;
  /** From 0 to 1, for back-offs; by default at random. */
  readonly random?: (() => number) | undefined;
  /** What clients are told as the version. */
  readonly version: string;
}
