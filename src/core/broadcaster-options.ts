import type { Grant } from "./access/grant.ts";
import type { AckOptions } from "./acks/ack-tracker.ts";
import type { Clients } from "./clients.ts";
import type { Fanouts } from "./fanout/audience-registry.ts";
import type { MarkOptions } from "./fanout/marks.ts";
import type { FrameHandlerLimits } from "./frame-handler.ts";
import type { RingBounds } from "./history/ring.ts";
import type { Meter } from "./metering/meter.ts";
import type { Clock } from "./ports/clock.ts";
import type { Log } from "./ports/log.ts";
import type { ClientPublisher, MessageSource, Publisher, StreamInput } from "./ports/source.ts";
import type { Tracer } from "./ports/tracer.ts";
import type { PublishingOptions } from "./publishing/publishing.ts";
import type { SessionOptions } from "./sessions/session-registry.ts";
import type { SubscriptionOptions } from "./subscribe/subscription-manager.ts";
import type { UpstreamOptions } from "./upstream/upstream-subscriptions.ts";
import type { EnvelopeEncoder } from "./wire/envelope.ts";

export interface BroadcasterOptions
  extends FrameHandlerLimits,
    PublishingOptions,
    SubscriptionOptions,
    AckOptions,
    UpstreamOptions,
    SessionOptions,
    MarkOptions,
    RingBounds {
  /** The name of the account; `undefined`: it is the default one. */
  readonly account?: string | undefined;
  /** The streams that messages come from; what they carry is exposed, and not demanded. */
  readonly streams: readonly StreamInput[];
  /** The subject to which messages are published that are given up; `undefined`: none. */
  readonly deadLetterSubject?: string | undefined;
  /** The shortest time between two flushes; 0: one flush in each turn of the event loop; `"auto"`: longer, the busier they are. */
  readonly flushIntervalMs: number | "auto";
}

/** The parts of a {@linkcode Broadcaster}. */
export interface BroadcasterParts {
  /** All clients of the gateway, of which it serves those of one account. */
  readonly clients: Clients;
  readonly clock: Clock;
  readonly encoder: EnvelopeEncoder;
  readonly fanouts: Fanouts;
  readonly log: Log;
  readonly meter: Meter;
  /** The source of messages; its starter makes this broadcaster its listener. */
  readonly source: Pick<MessageSource, "subscribe" | "unsubscribe" | "history" | "durables">;
  /** Publishes messages that were given up. */
  readonly deadLetters?: Publisher | undefined;
  /** Publishes the messages of clients; by default they can't publish. */
  readonly publisher?: ClientPublisher | undefined;
  /** Records what happens to messages; by default nobody does. */
  readonly tracer?: Tracer | undefined;
  /** Whether the token of a grant is revoked; by default none is. */
  readonly isRevoked?: ((grant: Grant) => boolean) | undefined;
  /** From 0 to 1, for back-offs; by default at random. */
  readonly random?: (() => number) | undefined;
  /** Is told when there are no sessions any more. */
  readonly emptied?: (() => void) | undefined;
  /** The version in `welcome`. */
  readonly version: string;
}
