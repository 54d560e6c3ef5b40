import type { Fanouts } from "./audience-book.ts";
import type { ClientLimits } from "./client-watcher.ts";
import type { Clock } from "./clock.ts";
import type { ConversationLimits } from "./conversation.ts";
import type { DemandOptions } from "./demand.ts";
import type { EnvelopeEncoder } from "./envelope.ts";
import type { Log } from "./log.ts";
import type { Meter } from "./meter.ts";
import type { RingBounds } from "./ring.ts";
import type { MessageSource } from "./source.ts";
import type { SubscribingOptions } from "./subscribing.ts";

export interface BroadcasterOptions
  extends ClientLimits,
    ConversationLimits,
    SubscribingOptions,
    DemandOptions,
    RingBounds {
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
  readonly source: Pick<MessageSource, "subscribe" | "unsubscribe">;
  /** What clients are told as the version. */
  readonly version: string;
}
