import type { AckResult, Balance, DropReason, LossReason } from "../core/metering/ledger.ts";
import type { DisconnectReason, Meter } from "../core/metering/meter.ts";
import type { MessageSource, SourceStatus, StreamStatus } from "../core/ports/source.ts";
import type { ClientLags } from "../core/sessions/client-lags.ts";
import type { PresenceStatus, Readiness, RevocationStatus } from "../http/status.ts";
import type { AccountState, Accounts } from "./accounts.ts";

/** The figures of a gateway at one moment. Counters never go back while the gateway exists. */
export interface GatewayStats {
  /** Whether traffic should be sent here, and if not, why: what `/readyz` says. */
  readonly readiness: Readiness;
  readonly clients: {
    /** Connected now. */
    readonly connected: number;
    /** Connected now, and fed from a queue of their own because they lag. */
    readonly lagging: number;
    /** The lag of clients: the messages that they were sent and have not confirmed, and those that wait for them. */
    readonly lag: ClientLags;
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
    /** The source of the default account: `"NATS"`, `"the embedded source"`, or the name of the one that was handed in. */
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
  /** The open accounts beside the default one, by name; their figures are in the sums above. */
  readonly accounts: Readonly<Record<string, AccountState>>;
  /** The connections and watches of presence; absent if presence is off. */
  readonly presence?: PresenceStatus;
  /** The bucket of revoked tokens; absent if there is none. */
  readonly revocation?: RevocationStatus;
  readonly errors: { readonly total: number; readonly last?: string };
}

/** Reads the figures of a gateway's parts. */
export function readStats(parts: {
  readonly meter: Meter;
  readonly accounts: Accounts;
  readonly lags: ClientLags;
  readonly source: MessageSource;
  readonly readiness: Readiness;
  readonly presence: PresenceStatus | undefined;
  readonly revocation: RevocationStatus | undefined;
}): GatewayStats {
  const { meter, accounts, lags, source, readiness, presence, revocation } = parts;
  const { ledger } = meter;
  const { subscriptions, pending } = accounts.upstream;
  const { refusal } = accounts.defaultBroadcaster.upstream;
  return {
    readiness,
    clients: {
      connected: meter.clientsActive,
      lagging: meter.clientsLagging,
      lag: lags,
      total: meter.clientsTotal,
      disconnected: Object.fromEntries(meter.disconnections) as Record<DisconnectReason, number>,
    },
    sessions: {
      total: meter.sessionsTotal,
      resumed: meter.sessionsResumed,
      detached: meter.sessionsDetached,
      detachedBytes: accounts.sessionBytes,
    },
    messages: {
      received: meter.messagesReceived,
      receivedBytes: meter.bytesReceived,
      replayed: meter.messagesReplayed,
      kept: accounts.kept.messages,
      keptBytes: accounts.kept.bytes,
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
    accounts: accounts.states,
    ...(presence !== undefined && { presence }),
    ...(revocation !== undefined && { revocation }),
    errors: {
      total: meter.errorsTotal,
      ...(meter.lastError !== undefined && { last: meter.lastError }),
    },
  };
}
