import type { ServerFrame } from "../../protocol/server-frames.ts";
import type { Meter } from "../metering/meter.ts";
import type { Clock } from "../ports/clock.ts";
import type { Publisher } from "../ports/source.ts";
import type { TimerQueue } from "../timing/timer-queue.ts";
import type { Envelope } from "../wire/envelope.ts";

/** What is promised in at-least-once. */
export interface AckOptions {
  /** What is not acknowledged within so long is sent again. */
  readonly ackTimeoutMs: number;
  /** What was sent so often is given up instead; not when its client has just come back. */
  readonly maxDeliver: number;
  /** How long to wait before the second time that a message is sent; then twice as long each time. */
  readonly redeliveryBackoffMs: number;
  /** More than this is not sent before some of it is acknowledged; a single message may be larger. */
  readonly maxInflightMessages: number;
  readonly maxInflightBytes: number;
}

/** What all deliveries stand on. */
export interface AckTrackerParts {
  readonly options: AckOptions;
  readonly clock: Clock;
  readonly meter: Meter;
  readonly timers: TimerQueue;
  /** Where messages go that are given up. */
  readonly deadLetters: Publisher | undefined;
  readonly deadLetterSubject: string | undefined;
  /** From 0 to 1. */
  random(): number;
}

/** The connection that messages go to. */
export interface AckRecipient {
  /** Whether its socket has room. */
  readonly takes: boolean;
  /** Sends messages that it was sent before. */
  resend(envelopes: readonly Envelope[]): void;
  tell(...frames: readonly ServerFrame[]): void;
  /** Whether the peer is known to have been there after a time; it is asked where that is not known. */
  heardSince(ms: number): boolean;
  /** More may be sent than a moment ago. */
  hasRoom(): void;
}
