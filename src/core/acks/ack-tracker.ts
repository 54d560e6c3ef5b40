import type { CloseCause } from "../../protocol/close-codes.ts";
import type { ServerFrame } from "../../protocol/server-frames.ts";
import type { LossReason } from "../metering/ledger.ts";
import type { Meter } from "../metering/meter.ts";
import type { Clock } from "../ports/clock.ts";
import type { TimerQueue } from "../timing/timer-queue.ts";
import type { Dialect } from "../wire/dialect.ts";
import type { Envelope } from "../wire/envelope.ts";
import type { RedeliveryOptions, RedeliveryPolicy } from "./redelivery-policy.ts";

/** The configuration of at-least-once. */
export interface AckOptions extends RedeliveryOptions {
  /** A message that is not acknowledged within this time is sent again. */
  readonly ackTimeoutMs: number;
  /** The most unacknowledged messages and bytes; a single message may be larger. */
  readonly maxInflightMessages: number;
  readonly maxInflightBytes: number;
}

/** The parts that all trackers share. */
export interface AckTrackerParts {
  readonly options: AckOptions;
  readonly clock: Clock;
  readonly meter: Meter;
  readonly timers: TimerQueue;
  readonly redelivery: RedeliveryPolicy;
}

/** The client that a tracker sends messages to. */
export interface AckRecipient {
  readonly dialect: Pick<Dialect, "sendsNotices">;
  /** Whether its socket has room, and it hasn't asked for less. */
  readonly takes: boolean;
  /** Whether its grant denies it the messages of a subject now. */
  denies(subject: string): boolean;
  /** Sends messages that wait for nothing: they were sent before, or come from a durable. */
  resend(envelopes: readonly Envelope[]): void;
  tell(...frames: readonly ServerFrame[]): void;
  /** Whether the peer was heard of after this time; asks the peer if that is not known. */
  heardSince(ms: number): boolean;
  /** Some messages are acknowledged or given up: there is room for others. */
  hasRoom(): void;
  end(cause: CloseCause): void;
}

/**
 * Follows messages that a client was sent until it acknowledges them: {@linkcode MemoryTracker} keeps and
 * redelivers them itself, {@linkcode DurableTracker} leaves this to a durable of JetStream.
 */
export interface AckTracker {
  /** The number of unacknowledged messages. */
  readonly messages: number;
  /** How many bytes may be sent now. */
  readonly roomBytes: number;
  /** The client has processed a message. */
  ack(id: string, nowMs: number): void;
  /** The client couldn't process a message: it is sent again after a back-off, or given up. */
  nack(id: string, nowMs: number): void;
  /** The client still processes a message: its acknowledgement may take the whole timeout again. */
  working(id: string, nowMs: number): void;
  /**
   * The client has processed all messages up to this one.
   *
   * @returns whether the id is of messages that this tracker follows.
   */
  ackUpTo(id: string, nowMs: number): boolean;
  /** The connection ended, and the client may reconnect. */
  detach(): void;
  /** The client doesn't reconnect: nobody waits for its acknowledgements. */
  forget(reason: LossReason): void;
}
