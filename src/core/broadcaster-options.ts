import type { Grant } from "./access/grant.ts";
import type { AckOptions } from "./acks/ack-tracker.ts";
import type { AuthenticationOptions } from "./authentication.ts";
import type { Fanouts } from "./fanout/audience-registry.ts";
import type { FrameHandlerLimits } from "./frame-handler.ts";
import type { RingBounds } from "./history/ring.ts";
import type { Meter } from "./metering/meter.ts";
import type { Clock } from "./ports/clock.ts";
import type { Log } from "./ports/log.ts";
import type { ConnectionObserver } from "./ports/observer.ts";
import type { ClientPublisher, MessageSource, Publisher, StreamInput } from "./ports/source.ts";
import type { PublishingOptions } from "./publishing/publishing.ts";
import type { ConnectionLimits } from "./sessions/connection.ts";
import type { ConnectionCountLimits } from "./sessions/connection-counts.ts";
import type { SessionOptions } from "./sessions/session-registry.ts";
import type { SubscriptionOptions } from "./subscribe/subscription-manager.ts";
import type { UpstreamOptions } from "./upstream/upstream-subscriptions.ts";
import type { EnvelopeEncoder } from "./wire/envelope.ts";

export interface BroadcasterOptions
  extends ConnectionLimits,
    ConnectionCountLimits,
    FrameHandlerLimits,
    PublishingOptions,
    AuthenticationOptions,
    SubscriptionOptions,
    AckOptions,
    UpstreamOptions,
    SessionOptions,
    RingBounds {
  /** The streams that messages come from; what they carry is exposed, and not demanded. */
  readonly streams: readonly StreamInput[];
  /** Where messages are published that are given up; `undefined`: nowhere. */
  readonly deadLetterSubject?: string | undefined;
  /** The maximum number of connected clients. */
  readonly maxClients: number;
  /** The shortest time between two flushes; 0: one flush in each turn of the event loop. */
  readonly flushIntervalMs: number;
  /** The maximum size of all backlogs together. */
  readonly maxTotalQueueBytes: number;
}

/** What a {@linkcode Broadcaster} needs. */
export interface BroadcasterParts {
  readonly clock: Clock;
  readonly encoder: EnvelopeEncoder;
  readonly fanouts: Fanouts;
  readonly log: Log;
  readonly meter: Meter;
  /** Where messages come from; whoever starts it makes this broadcaster its listener. */
  readonly source: Pick<MessageSource, "subscribe" | "unsubscribe" | "history" | "durables">;
  /** Publishes messages that were given up. */
  readonly deadLetters?: Publisher | undefined;
  /** Publishes the messages of clients; by default they can't publish. */
  readonly publisher?: ClientPublisher | undefined;
  /** Whether the token of a grant is revoked; by default none is. */
  readonly isRevoked?: ((grant: Grant) => boolean) | undefined;
  /** Is told which clients connect and disconnect. */
  readonly observer?: ConnectionObserver | undefined;
  /** How much long work may do in one turn of the event loop; by default some milliseconds' worth. */
  readonly stepsPerTurn?: number | undefined;
  /** From 0 to 1, for back-offs; by default at random. */
  readonly random?: (() => number) | undefined;
  /** The version in `welcome`. */
  readonly version: string;
}
