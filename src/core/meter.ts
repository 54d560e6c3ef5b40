import type { ClientFrameType } from "./client-frame.ts";
import type { RefusalCode } from "./server-frame.ts";
import type { CloseCause } from "./socket.ts";

/**
 * Why a message that was accepted for a client will not reach it.
 *
 * - `"slow_consumer"`, `"write_timeout"`, `"overloaded"`: queued for a client that was cut for it.
 * - `"drop_oldest"`, `"drop_newest"`, `"expired"`: left out by its policy, and declared in a gap.
 * - `"abandoned"`: queued when the connection ended.
 */
export type DropReason =
  | "slow_consumer"
  | "write_timeout"
  | "overloaded"
  | "drop_oldest"
  | "drop_newest"
  | "expired"
  | "abandoned";

/** How a connection ended: the server's cause, or the peer's doing. */
export type DisconnectReason = CloseCause | "client" | "vanished";

/** What went wrong, by kind. None of these stops the server. */
export type ErrorKind =
  | "malformed_frame"
  | "frame_too_big"
  | "slow_consumer"
  | "write_timeout"
  | "no_pong"
  | "source"
  | "handshake"
  | "overloaded"
  | "upstream_refused";

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

  add(value: number): void {
    let index = 0;
    while (index < this.bounds.length && value > this.bounds[index]!) index++;
    this.counts[index]!++;
    this.sum += value;
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
    abandoned: 0,
  };
  /** Superseded by a later value of their subject before they were sent. */
  conflated = 0;
  /** Gap frames that clients were sent. */
  gaps = 0;
  /** Clients that came back to where they were, in full or with a gap. */
  resumed = 0;

  clientsTotal = 0;
  /** Connected now (not a counter). */
  clientsActive = 0;
  /** Connected now, and in a private queue because they lag (not a counter). */
  clientsLagging = 0;
  readonly disconnections = new Map<DisconnectReason, number>();

  /** Frames from clients that were understood, by `type`. */
  readonly clientFrames: Record<ClientFrameType, number> = {
    ack: 0,
    nack: 0,
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
    unsupported: 0,
  };

  readonly errors = new Map<ErrorKind, number>();
  errorsTotal = 0;
  lastError: string | undefined;

  /** When the source last handed a message over; wall clock, `undefined` before the first. */
  lastMessageMs: number | undefined;

  /** Seconds that one flush to all clients took. */
  readonly broadcastSeconds = new Distribution([
    0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5,
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

  countDisconnect(reason: DisconnectReason): void {
    this.disconnections.set(reason, (this.disconnections.get(reason) ?? 0) + 1);
  }

  countError(kind: ErrorKind, detail: string): void {
    this.errors.set(kind, (this.errors.get(kind) ?? 0) + 1);
    this.errorsTotal++;
    this.lastError = detail;
  }

  droppedTotal(): number {
    return Object.values(this.dropped).reduce((sum, count) => sum + count, 0);
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
