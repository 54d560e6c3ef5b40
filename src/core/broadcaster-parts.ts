import type { Fanouts } from "./audience-book.ts";
import type { ClientLimits } from "./client-watcher.ts";
import type { Clock } from "./clock.ts";
import type { ConversationLimits } from "./conversation.ts";
import type { DeliveryOptions } from "./delivery-parts.ts";
import type { DemandOptions } from "./demand.ts";
import type { EnvelopeEncoder } from "./envelope.ts";
import type { Log } from "./log.ts";
import type { Meter } from "./meter.ts";
import type { ReplayingOptions } from "./replaying.ts";
import type { RingBounds } from "./ring.ts";
import type { SessionOptions } from "./sessions.ts";
import type { MessageSource, Publisher, StreamInput } from "./source.ts";
import type { SubscribingOptions } from "./subscribing.ts";

export interface BroadcasterOptions
  extends ClientLimits,
    ConversationLimits,
    SubscribingOptions,
    ReplayingOptions,
    DemandOptions,
    DeliveryOptions,
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
  /** Where messages are published that were given up; `undefined`: nowhere. */
  readonly deadLetterSubject?: string | undefined;
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
  /** How much long work may do in one turn of the event loop; by default some milliseconds' worth. */
  readonly stepsPerTurn?: number | undefined;
  /** From 0 to 1, for back-offs; by default at random. */
  readonly random?: (() => number) | undefined;
  /** What clients are told as the version. */
  readonly version: string;
}
