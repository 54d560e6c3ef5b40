import { CLOSE, type CloseCause } from "../ports/socket.ts";
import { SOURCE_FAULTS } from "../ports/source.ts";
import type { ClientFrameType } from "../wire/client-frame.ts";
import type { RefusalCode } from "../wire/server-frame.ts";

/**
 * Why a message that was accepted for a client will not reach it.
 *
 * - `"slow_consumer"`, `"write_timeout"`, `"overloaded"`: queued for a client that was cut for it.
 * - `"drop_oldest"`, `"drop_newest"`, `"expired"`: left out by its policy, and declared in a gap.
 * - `"session_lost"`: kept for a session whose client did not come back in time, or that was one too many.
 * - `"abandoned"`: queued when the connection ended.
 */
export type DropReason =
  | "slow_consumer"
  | "write_timeout"
  | "overloaded"
  | "drop_oldest"
  | "drop_newest"
  | "expired"
  | "session_lost"
  | "abandoned";

/**
 * Why a message that was sent and not acknowledged will not be sent again (in at-least-once).
 *
 * - `"max_deliver"`: it was sent as often as is configured; declared in a gap.
 * - `"disconnected"`: the connection of a client without a session ended.
 * - `"slow_consumer"`, `"overloaded"`: the client was cut for what waited for it, and its session ended.
 * - `"session_expired"`, `"session_evicted"`: the client did not come back in time, or too many did not.
 * - `"stopped"`: the gateway stopped.
 */
export type LossReason =
  | "max_deliver"
  | "disconnected"
  | "slow_consumer"
  | "overloaded"
  | "session_expired"
  | "session_evicted"
  | "stopped";

/**
 * What became of an acknowledgement, or of the lack of one.
 *
 * - `"acked"`, `"nacked"`: it was of a message that is waited for.
 * - `"repeated"`: of one that is not any more, or of one that the client was not sent among others.
 * - `"unknown"`: of one that was never sent to any client, or not yet to this one.
 * - `"timed_out"`: none came in time.
 */
export type AckResult = "acked" | "nacked" | "repeated" | "unknown" | "timed_out";

/** How a connection ended: the server's cause, or the peer's doing. */
export type DisconnectReason = CloseCause | "client" | "vanished";

/** Errors of clients that are served. */
export const CLIENT_ERROR_KINDS = [
  "malformed_frame",
  "frame_too_big",
  "too_many_frames",
  "slow_consumer",
  "write_timeout",
  "no_pong",
  "overloaded",
] as const;

/** What went wrong, by kind. None of these stops the server. */
const ERROR_KINDS = [
  ...CLIENT_ERROR_KINDS,
  "source",
  "handshake",
  "upstream_refused",
  ...SOURCE_FAULTS,
] as const;

export type ErrorKind = (typeof ERROR_KINDS)[number];

/** Values sorted into buckets, as a Prometheus histogram has them. */
export class Distribution {
  readonly bounds: readonly number[];
  /** How many values fell under each bound and above the one before; one more for all above. */
  readonly counts: number[];
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Array(bounds.length + 1).fill(0);
  }

  /** @param times how often the value was seen. */
  add(value: number, times = 1): void {
    let index = 0;
    while (index < this.bounds.length && value > this.bounds[index]!) index++;
    this.counts[index]! += times;
    this.sum += value * times;
  }
}

/**
 * What the core counts, in plain fields: counting costs an addition, and whoever shows the figures
 * (`/metrics`, health, data flow) reads them when asked.
 *
 * Every counter only grows. The ledger balances at every moment:
 * `offered = sent + queued + conflated + the sum of dropped`.
 */
export class Meter {
  /** Messages that the source handed over, and their data's bytes. */
  messagesReceived = 0;
  bytesReceived = 0;

  /** Messages read from what streams keep; what several clients need at the same time is read once. */
  messagesReplayed = 0;

  /** Deliveries: a message counts once for each client that it is meant for. */
  offered = 0;
  sent = 0;
  /** Bytes of envelopes in `sent`. */
  bytesSent = 0;
  /** Deliveries that wait in private queues and pacers now, and their bytes (not a counter). */
  queued = 0;
  queuedBytes = 0;
  readonly dropped: Record<DropReason, number> = {
    slow_consumer: 0,
    write_timeout: 0,
    overloaded: 0,
    drop_oldest: 0,
    drop_newest: 0,
    expired: 0,
    session_lost: 0,
    abandoned: 0,
  };
  /** Superseded by a later value of their subject before they were sent. */
  conflated = 0;
  /** Gap frames that clients were sent. */
  gaps = 0;
  /** Clients that came back to where they were, in full or with a gap. */
  resumed = 0;

  /**
   * Messages whose acknowledgement was or is waited for: each counts once, however often it is sent.
   * `tracked = acks.acked + inFlight + returned + the sum of lost`, at every moment.
   */
  tracked = 0;
  /** Those that are waited for now (not a counter). */
  inFlight = 0;
  /** Given back to the durable that they came from, as their client is gone: they come again. */
  returned = 0;
  readonly lost: Record<LossReason, number> = {
    max_deliver: 0,
    disconnected: 0,
    slow_consumer: 0,
    overloaded: 0,
    session_expired: 0,
    session_evicted: 0,
    stopped: 0,
  };
  readonly acks: Record<AckResult, number> = {
    acked: 0,
    nacked: 0,
    repeated: 0,
    unknown: 0,
    timed_out: 0,
  };
  /** Messages that were sent again, each time they were. They are not in `sent`. */
  redelivered = 0;
  /** Published to the dead-letter subject. */
  deadLetters = 0;
  /** Sessions that were begun, and taken up again by a client that came back. */
  sessionsTotal = 0;
  sessionsResumed = 0;
  /** Of those that are kept now, how many have no connection (not a counter). */
  sessionsParked = 0;

  clientsTotal = 0;
  /** Connected now (not a counter). */
  clientsActive = 0;
  /** Connected now, and in a private queue because they lag (not a counter). */
  clientsLagging = 0;
  readonly disconnections = new Map<DisconnectReason, number>(
    [...(Object.keys(CLOSE) as CloseCause[]), "client" as const, "vanished" as const].map(
      (reason) => [reason, 0],
    ),
  );

  /** Frames from clients that were understood, by `type`. */
  readonly clientFrames: Record<ClientFrameType, number> = {
    ack: 0,
    nack: 0,
    working: 0,
    slow: 0,
    ok: 0,
    subscribe: 0,
    unsubscribe: 0,
    ping: 0,
  };

  /** Requests that were understood and not served: none of them is an error of the server's. */
  readonly refused: Record<RefusalCode, number> = {
    invalid_subject: 0,
    forbidden: 0,
    too_many_subscriptions: 0,
    duplicate_subscription: 0,
    unknown_subscription: 0,
    too_many_durables: 0,
    unavailable: 0,
    unsupported: 0,
  };

  /** By kind. */
  readonly errors = new Map<ErrorKind, number>(ERROR_KINDS.map((kind) => [kind, 0]));
  /** All but refused handshakes. */
  errorsTotal = 0;
  lastError: string | undefined;

  /** When the source last handed a message over; wall clock, `undefined` before the first. */
  lastMessageMs: number | undefined;

  /** Seconds that one flush to all clients took. */
  readonly broadcastSeconds = new Distribution([
    0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5,
  ]);
  /** Seconds from when a message was sent last until it was acknowledged. */
  readonly ackSeconds = new Distribution([
    0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30,
  ]);
  /** Bytes of data in each message. */
  readonly messageBytes = new Distribution([
    64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576,
  ]);

  /** A message came, with so many bytes of data, at this time of the wall clock. */
  countReceived(bytes: number, wallMs: number): void {
    this.messagesReceived++;
    this.bytesReceived += bytes;
    this.messageBytes.add(bytes);
    this.lastMessageMs = wallMs;
  }

  countConnect(): void {
    this.clientsTotal++;
    this.clientsActive++;
  }

  countDisconnect(reason: DisconnectReason): void {
    this.clientsActive--;
    this.disconnections.set(reason, (this.disconnections.get(reason) ?? 0) + 1);
  }

  countError(kind: ErrorKind, detail: string): void {
    this.errors.set(kind, (this.errors.get(kind) ?? 0) + 1);
    this.errorsTotal++;
    this.lastError = detail;
  }

  /** A handshake was refused: that is no error of a client that is served. */
  countRefusedHandshake(): void {
    this.errors.set("handshake", (this.errors.get("handshake") ?? 0) + 1);
  }

  droppedTotal(): number {
    return Object.values(this.dropped).reduce((sum, count) => sum + count, 0);
  }

  lostTotal(): number {
    return Object.values(this.lost).reduce((sum, count) => sum + count, 0);
  }

  /** What became of every delivery: `offered` is the sum of the others. */
  ledger(): Ledger {
    const { offered, sent, queued, conflated } = this;
    return { offered, sent, queued, conflated, dropped: this.droppedTotal() };
  }
}

/** Deliveries by what became of them. */
export interface Ledger {
  readonly offered: number;
  readonly sent: number;
  readonly queued: number;
  readonly conflated: number;
  readonly dropped: number;
}
