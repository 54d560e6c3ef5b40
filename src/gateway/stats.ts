import type { Broadcaster } from "../core/broadcaster.ts";
import type { AckResult, Balance, DropReason, LossReason } from "../core/metering/ledger.ts";
import type { DisconnectReason, Meter } from "../core/metering/meter.ts";
import type { MessageSource, SourceStatus, StreamStatus } from "../core/ports/source.ts";
import type { Readiness } from "../http/status.ts";

/** The figures of a gateway at one moment. Counters never go back while the gateway exists. */
export interface GatewayStats {
  /** Whether traffic should be sent here, and if not, why: what `/readyz` says. */
  readonly readiness: Readiness;
  readonly clients: {
    /** Connected now. */
    readonly connected: number;
    /** Connected now, and fed from a queue of their own because they lag. */
    readonly lagging: number;
    /** Connected since the gateway was made. */
    readonly total: number;
    /** Disconnected since the gateway was made, by reason. */
    readonly disconnected: Readonly<Record<DisconnectReason, number>>;
  };
  /** Sessions of clients that acknowledge (at-least-once). */
  readonly sessions: {
    readonly total: number;
    readonly resumed: number;
    /** Without a connection now, and the bytes that are kept for them. */
    readonly detached: number;
    readonly detachedBytes: number;
  };
  /** Messages from the source. */
  readonly messages: {
    readonly received: number;
    readonly receivedBytes: number;
    /** Read from what streams keep. */
    readonly replayed: number;
    /** Kept now for clients that reconnect. */
    readonly kept: number;
    readonly keptBytes: number;
  };
  /**
   * Deliveries: a message counts once for each client that it is meant for.
   * `offered = sent + queued + conflated + dropped`.
   */
  readonly ledger: Balance & {
    readonly sentBytes: number;
    readonly queuedBytes: number;
    readonly droppedBy: Readonly<Record<DropReason, number>>;
  };
  /** Messages that clients must acknowledge: `tracked = acked + inFlight + returned + lost`. */
  readonly acks: {
    readonly tracked: number;
    readonly acked: number;
    readonly inFlight: number;
    /** Given back to their durable. */
    readonly returned: number;
    readonly lost: number;
    readonly lostBy: Readonly<Record<LossReason, number>>;
    readonly results: Readonly<Record<AckResult, number>>;
    readonly redelivered: number;
    readonly deadLetters: number;
  };
  readonly source: {
    /** `"NATS"`, `"the embedded source"`, or the name of the source that was handed in. */
    readonly name: string;
    readonly status: SourceStatus;
    readonly streams: readonly StreamStatus[];
  };
  /** What the gateway subscribes to at the source. */
  readonly upstream: {
    readonly subscriptions: number;
    /** Subscriptions that the source has not confirmed. */
    readonly pending: number;
    /** Why the source refuses one; absent if it refuses none. */
    readonly refusal?: string;
  };
  readonly errors: { readonly total: number; readonly last?: string };
}

/** Reads the figures of a gateway's parts. */
export function readStats(parts: {
  readonly meter: Meter;
  readonly broadcaster: Broadcaster;
  readonly source: MessageSource;
  readonly readiness: Readiness;
}): GatewayStats {
  const { meter, broadcaster, source, readiness } = parts;
  const { ledger } = meter;
  const { subscriptions, pending, refusal } = broadcaster.upstream;
  return {
    readiness,
    clients: {
      connected: meter.clientsActive,
      lagging: meter.clientsLagging,
      total: meter.clientsTotal,
      disconnected: Object.fromEntries(meter.disconnections) as Record<DisconnectReason, number>,
    },
    sessions: {
      total: meter.sessionsTotal,
      resumed: meter.sessionsResumed,
      detached: meter.sessionsDetached,
      detachedBytes: broadcaster.sessions.detachedBytes,
    },
    messages: {
      received: meter.messagesReceived,
      receivedBytes: meter.bytesReceived,
      replayed: meter.messagesReplayed,
      kept: broadcaster.kept.messages,
      keptBytes: broadcaster.kept.bytes,
    },
    ledger: {
      ...ledger.balance(),
      sentBytes: ledger.bytesSent,
      queuedBytes: ledger.queuedBytes,
      droppedBy: { ...ledger.dropped },
    },
    acks: {
      tracked: ledger.tracked,
      acked: ledger.acks.acked,
      inFlight: ledger.inFlight,
      returned: ledger.returned,
      lost: ledger.lostTotal,
      lostBy: { ...ledger.lost },
      results: { ...ledger.acks },
      redelivered: ledger.redelivered,
      deadLetters: ledger.deadLetters,
    },
    source: { name: source.name, status: source.status, streams: source.streams ?? [] },
    upstream: { subscriptions, pending, ...(refusal !== undefined && { refusal }) },
    errors: {
      total: meter.errorsTotal,
      ...(meter.lastError !== undefined && { last: meter.lastError }),
    },
  };
}
