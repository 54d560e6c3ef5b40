import type { Distribution } from "../core/metering/distribution.ts";
import type { Meter } from "../core/metering/meter.ts";
import type { SourceStatus, StreamStatus } from "../core/ports/source.ts";
import type { PresenceFigures } from "../core/presence/presence.ts";
import type { ClientLags, Quantiles } from "../core/sessions/client-lags.ts";

/**
 * The end of a reload of the configuration. `"unchanged"`: it was the same as before; `"restart_needed"`: a key can't change while
 * the gateway runs.
 */
const RELOAD_RESULTS = ["applied", "unchanged", "invalid", "restart_needed"] as const;
export type ReloadResult = (typeof RELOAD_RESULTS)[number];

/** The figures of the reloads of a gateway. */
export interface ReloadFigures {
  readonly counts: Readonly<Record<ReloadResult, number>>;
  /** Unix time of the last reload that succeeded, or of the start. */
  readonly lastSuccessSeconds: number;
}

export function zeroReloads(): Record<ReloadResult, number> {
  return { applied: 0, unchanged: 0, invalid: 0, restart_needed: 0 };
}

/** A component whose figures are shown. */
export interface Metered {
  /** The value of the label `component`. */
  readonly name: string;
  readonly meter: Meter;
  readonly build: {
    /** Of this package. */
    readonly version: string;
    readonly runtime: string;
    readonly runtimeVersion: string;
  };
  sourceConnected(): boolean;
  /** How many patterns are subscribed to at the source, and how many of them it has not confirmed. */
  upstream(): { readonly subscriptions: number; readonly pending: number };
  /** The messages and bytes that are kept for clients that come back. */
  kept(): { readonly messages: number; readonly bytes: number };
  /** The bytes that are kept for sessions without a connection. */
  sessionBytes(): number;
  /** How many durables are used. */
  durables(): number;
  /** How far each stream that is configured has come. */
  streams(): readonly StreamStatus[];
  /** The open accounts beside the default one, by name. */
  accounts(): Iterable<readonly [name: string, { readonly status: SourceStatus }]>;
  /** The connections and watches of presence; `undefined` if presence is off. */
  presence(): PresenceFigures | undefined;
  /** The lag of the clients. */
  lags(): ClientLags;
  /** Seconds since it started. */
  uptimeSeconds(): number;
  /** Counts reloads of the configuration by their ends, and says when the last one succeeded. */
  reloads(): ReloadFigures;
  /** By how many seconds timers were late. */
  loopLag(): Distribution;
}

/** One metric, whose figures are read when somebody asks for them. */
export type Family = {
  /** With all prefixes. */
  readonly name: string;
  readonly help: string;
} & (
  | {
      /** The values of a summary have the label `quantile`. */
      readonly kind: "counter" | "gauge" | "summary";
      readonly labels: readonly string[];
      readonly read: Reading;
    }
  | { readonly kind: "histogram"; readonly read: (metered: Metered) => Distribution }
);

/** The series of a component: the values of the labels, and the figure. */
type Reading = (metered: Metered) => Iterable<readonly [labels: readonly string[], value: number]>;
/** Figures by the value of the one label. */
type ByLabel = (metered: Metered) => Iterable<readonly [label: string, value: number]>;

const PREFIX = "websocket_";
function single(kind: "counter" | "gauge") {
  return (name: string, help: string, read: (metered: Metered) => number): Family => ({
    kind,
    name: PREFIX + name,
    help,
    labels: [],
    read: (metered) => [[[], read(metered)]],
  });
}

const counter = single("counter");
const gauge = single("gauge");

/** A counter with one label, each of whose values is there from the start. */
function labelled(name: string, help: string, label: string, read: ByLabel): Family {
  return {
    kind: "counter",
    name: PREFIX + name,
    help,
    labels: [label],
    read: (metered) => [...read(metered)].map(([value, count]) => [[value], count] as const),
  };
}

/** A figure of presence, which is absent where presence is off. */
function ofPresence(
  kind: "counter" | "gauge",
  name: string,
  help: string,
  read: (figures: PresenceFigures) => number,
): Family {
  return {
    kind,
    name: PREFIX + name,
    help,
    labels: [],
    read: (metered) => {
      const figures = metered.presence();
      return figures === undefined ? [] : [[[], read(figures)]];
    },
  };
}

/** Quantiles over all clients. */
function ofClients(name: string, help: string, read: (lags: ClientLags) => Quantiles): Family {
  return {
    kind: "summary",
    name: PREFIX + name,
    help,
    labels: ["quantile"],
    read: (metered) => {
      const { p50, p90, p99, max } = read(metered.lags());
      return [
        [["0.5"], p50],
        [["0.9"], p90],
        [["0.99"], p99],
        [["1"], max],
      ];
    },
  };
}

/** A gauge for each stream of the configuration. */
function ofStreams(name: string, help: string, read: (stream: StreamStatus) => number): Family {
  return {
    kind: "gauge",
    name: PREFIX + name,
    help,
    labels: ["stream"],
    read: (metered) => metered.streams().map((one) => [[one.name], read(one)] as const),
  };
}

function histogram(name: string, help: string, read: (metered: Metered) => Distribution): Family {
  return { kind: "histogram", name: PREFIX + name, help, read };
}

/**
 * All metrics of a component. A label value comes from the configuration or from a list in the code,
 * never from a subject or a client, so that the number of series does not grow.
 *
 * Two have a second name: `clients_…` are those of StreamKit's documentation, `client_connections_total` and
 * `clients_connected` those of its code, which its dashboards use.
 */
export const FAMILIES: readonly Family[] = [
  counter("clients_total", "Connections of clients since the start.", (c) => c.meter.clientsTotal),
  counter(
    "client_connections_total",
    "Connections of clients since the start.",
    (c) => c.meter.clientsTotal,
  ),
  gauge("clients_active", "Clients that are connected.", (c) => c.meter.clientsActive),
  gauge("clients_connected", "Clients that are connected.", (c) => c.meter.clientsActive),
  gauge(
    "clients_lagging",
    "Clients that lag: each has a queue of its own.",
    (c) => c.meter.clientsLagging,
  ),
  ofClients(
    "client_lag_seconds",
    "Age of the oldest message that a client hasn't confirmed or that waits for it; quantile 1 is the client that is furthest behind. Without marks (server-sent events, Deno's own sockets, mark_interval 0s), only of what waits.",
    (lags) => lags.seconds,
  ),
  ofClients(
    "client_lag_bytes",
    "Bytes that a client hasn't confirmed or that wait for it.",
    (lags) => lags.bytes,
  ),
  counter(
    "messages_received_total",
    "Live messages received from NATS or from the in-memory source.",
    (c) => c.meter.messagesReceived,
  ),
  counter(
    "bytes_received_total",
    "Bytes of data in the received messages.",
    (c) => c.meter.bytesReceived,
  ),
  counter(
    "messages_replayed_total",
    "Messages read from streams to replay them. A message that several clients need at the same time counts once.",
    (c) => c.meter.messagesReplayed,
  ),
  counter(
    "messages_offered_total",
    "Deliveries that are due: each message counts once for each client that wants it. Equals sent + queued + conflated + dropped.",
    (c) => c.meter.ledger.offered,
  ),
  counter(
    "messages_sent_total",
    "Deliveries that were sent: each message counts once for each client.",
    (c) => c.meter.ledger.sent,
  ),
  counter(
    "bytes_sent_total",
    "Bytes of messages sent to clients, envelopes included.",
    (c) => c.meter.ledger.bytesSent,
  ),
  gauge(
    "messages_queued",
    "Deliveries that wait in the queues of lagging clients.",
    (c) => c.meter.ledger.queued,
  ),
  gauge(
    "queued_bytes",
    "Bytes that wait in the queues of lagging clients.",
    (c) => c.meter.ledger.queuedBytes,
  ),
  gauge(
    "source_connected",
    "1 while the gateway is connected to NATS, otherwise 0. Always 1 for the in-memory source.",
    (c) => (c.sourceConnected() ? 1 : 0),
  ),
  {
    kind: "gauge",
    name: `${PREFIX}account_connected`,
    help: "1 while an open account is connected to NATS, otherwise 0. An account that no client uses is not open.",
    labels: ["account"],
    read: (c) =>
      [...c.accounts()].map(
        ([name, { status }]) => [[name], status.state === "connected" ? 1 : 0] as const,
      ),
  },
  ofStreams(
    "stream_followed",
    "1 while the gateway receives a configured stream, 0 while the stream doesn't exist or can't be read.",
    (stream) => (stream.isFollowed ? 1 : 0),
  ),
  ofStreams(
    "stream_sequence",
    "The sequence of the last message received from the stream.",
    (stream) => stream.sequence,
  ),
  ofStreams(
    "stream_lag_messages",
    "How many newer messages the stream had when that message was received.",
    (stream) => stream.lag,
  ),
  gauge(
    "upstream_subscriptions",
    "Subject patterns that the gateway is subscribed to at NATS.",
    (c) => c.upstream().subscriptions,
  ),
  gauge(
    "upstream_pending",
    "Subject patterns that clients want and NATS hasn't confirmed yet.",
    (c) => c.upstream().pending,
  ),
  gauge(
    "ring_messages",
    "Recent messages kept in memory for clients that reconnect.",
    (c) => c.kept().messages,
  ),
  gauge("ring_bytes", "Bytes of the recent messages kept in memory.", (c) => c.kept().bytes),
  counter(
    "messages_conflated_total",
    "Deliveries that a newer message of the same subject replaced (policy conflate, max_rate).",
    (c) => c.meter.ledger.conflated,
  ),
  counter("gaps_total", "Gap frames sent to clients.", (c) => c.meter.gaps),
  counter("clients_resumed_total", "Clients that resumed after a cursor.", (c) => c.meter.resumed),
  counter(
    "messages_tracked_total",
    "Messages sent to clients that must acknowledge them; a message that is sent again counts once. Equals acknowledged + in flight + returned + lost.",
    (c) => c.meter.ledger.tracked,
  ),
  gauge(
    "messages_in_flight",
    "Messages that were sent and are not acknowledged yet.",
    (c) => c.meter.ledger.inFlight,
  ),
  counter(
    "messages_redelivered_total",
    "Repeated deliveries of unacknowledged messages.",
    (c) => c.meter.ledger.redelivered,
  ),
  counter(
    "dead_letters_total",
    "Messages published to dead_letter_subject.",
    (c) => c.meter.ledger.deadLetters,
  ),
  counter(
    "messages_returned_total",
    "Unacknowledged messages returned to their durable after its client disconnected.",
    (c) => c.meter.ledger.returned,
  ),
  gauge("durables", "Durables that clients are using.", (c) => c.durables()),
  counter("sessions_total", "Sessions that began.", (c) => c.meter.sessionsTotal),
  counter(
    "sessions_resumed_total",
    "Sessions that a client resumed.",
    (c) => c.meter.sessionsResumed,
  ),
  gauge(
    "sessions_parked",
    "Sessions without a connection, kept for up to session_ttl.",
    (c) => c.meter.sessionsDetached,
  ),
  gauge("session_bytes", "Bytes kept for sessions without a connection.", (c) => c.sessionBytes()),
  labelled(
    "acks_total",
    "Acknowledgements by result; `timed_out` counts those that didn't arrive in time.",
    "result",
    (c) => Object.entries(c.meter.ledger.acks),
  ),
  labelled(
    "messages_lost_total",
    "Messages that were sent, not acknowledged, and will not be sent again, by reason.",
    "reason",
    (c) => Object.entries(c.meter.ledger.lost),
  ),
  labelled(
    "messages_dropped_total",
    "Deliveries that were dropped before they were sent, by reason.",
    "reason",
    (c) => Object.entries(c.meter.ledger.dropped),
  ),
  labelled(
    "client_disconnections_total",
    "Connections that ended, by reason. Besides the close codes: `client` closed the connection, or it was lost (`vanished`).",
    "disconnect_reason",
    (c) => c.meter.disconnections,
  ),
  labelled("client_frames_total", "Valid frames from clients, by type.", "type", (c) =>
    Object.entries(c.meter.clientFrames),
  ),
  labelled(
    "requests_refused_total",
    "Valid requests of clients that were refused, by the code of the error.",
    "code",
    (c) => Object.entries(c.meter.refused),
  ),
  counter(
    "client_messages_published_total",
    "Messages of clients that NATS or the in-memory source has taken, duplicates included.",
    (c) => c.meter.publishing.published,
  ),
  counter(
    "client_messages_duplicate_total",
    "Messages of clients that a stream had stored before, with the same id.",
    (c) => c.meter.publishing.duplicates,
  ),
  counter(
    "client_requests_sent_total",
    "Requests of clients to services behind NATS.",
    (c) => c.meter.publishing.requests,
  ),
  counter(
    "client_publish_timeouts_total",
    "Messages and requests of clients that had no answer in time.",
    (c) => c.meter.publishing.timeouts,
  ),
  gauge(
    "client_publishes_in_flight",
    "Messages and requests of clients that wait for their answers, with bodies of POST that are being read.",
    (c) => c.meter.publishing.inFlight,
  ),
  labelled(
    "client_publishes_refused_total",
    "Messages and requests of clients that were refused or failed, by the code of the error.",
    "code",
    (c) => Object.entries(c.meter.publishing.refused),
  ),
  ofPresence(
    "gauge",
    "presence_connections",
    "Connections of all gateways that count as present, those in their time of grace included. Only with `presence_bucket`, as are the other metrics of presence.",
    ({ connections }) => connections,
  ),
  ofPresence(
    "gauge",
    "presence_watches",
    "Watches of presence of this gateway's clients.",
    ({ watches }) => watches,
  ),
  ofPresence(
    "gauge",
    "presence_stale",
    "1 while the presence bucket can't be read or written, otherwise 0.",
    ({ isStale }) => (isStale ? 1 : 0),
  ),
  ofPresence(
    "counter",
    "presence_writes_total",
    "Entries of this gateway's clients that were written to the presence bucket or deleted.",
    ({ writes }) => writes,
  ),
  ofPresence(
    "counter",
    "presence_omitted_total",
    "Entries of the presence bucket that were left out because of `max_presence_entries`.",
    ({ omitted }) => omitted,
  ),
  labelled(
    "access_refused_total",
    "Requests, and tokens in `auth`, that were refused because of who the client is, by reason: `malformed` credentials, `unauthenticated`, `forbidden`, or `unavailable` if its token can't be checked.",
    "reason",
    (c) => Object.entries(c.meter.accessRefused),
  ),
  labelled(
    "clients_limited_total",
    "Clients that were not let in because of `max_clients_per_address`, or because too many of their address have shown no token yet (`address`), `max_clients_per_sub` (`sub`) or `max_handshakes_per_second` (`rate`).",
    "limit",
    (c) => Object.entries(c.meter.clientsLimited),
  ),
  labelled("errors_total", "Errors by type.", "error_type", (c) => c.meter.errors),
  gauge("workers", "Processes that serve clients; more than one with `workers`.", () => 1),
  // Only the supervisor of the workers knows these two.
  gauge(
    "workers_silent",
    "Processes that serve clients, but don't answer now: all their figures here are those of their last answer.",
    () => 0,
  ),
  counter("worker_restarts_total", "Workers that ended and were replaced.", () => 0),
  {
    kind: "counter",
    name: "spillway_config_reloads_total",
    help: "Reloads of the configuration, by result: `applied`, `unchanged` if it was the same as before, `invalid`, or `restart_needed` if a key can't change while the gateway runs.",
    labels: ["result"],
    read: (c) => Object.entries(c.reloads().counts).map(([result, count]) => [[result], count]),
  },
  {
    kind: "gauge",
    name: "spillway_config_last_reload_success_timestamp_seconds",
    help: "Unix time of the last reload that succeeded, or of the start.",
    labels: [],
    read: (c) => [[[], c.reloads().lastSuccessSeconds]],
  },
  gauge("server_uptime_seconds", "Seconds since the gateway started.", (c) => c.uptimeSeconds()),
  histogram(
    "broadcast_duration_seconds",
    "Duration of a flush to all clients.",
    ({ meter }) => meter.broadcastSeconds,
  ),
  histogram(
    "delivery_seconds",
    "Time from a message's arrival at the gateway until its client confirmed it, half a round trip included: measured about once per mark_bytes or mark_interval for each client.",
    ({ meter }) => meter.deliverySeconds,
  ),
  histogram(
    "ack_latency_seconds",
    "Time from the last delivery of a message to its acknowledgement.",
    ({ meter }) => meter.ledger.ackSeconds,
  ),
  histogram(
    "message_size_bytes",
    "Size of the received messages.",
    ({ meter }) => meter.messageBytes,
  ),
  histogram(
    "event_loop_lag_seconds",
    "Delay of a timer because the event loop was busy, measured every 100 ms.",
    (c) => c.loopLag(),
  ),
  {
    kind: "gauge",
    name: `${PREFIX}build_info`,
    help: "Always 1. The labels have the versions of Spillway and of the runtime.",
    labels: ["version", "runtime", "runtime_version"],
    read: ({ build }) => [[[build.version, build.runtime, build.runtimeVersion], 1]],
  },
];
