import type { Distribution } from "../core/metering/distribution.ts";
import type { Meter } from "../core/metering/meter.ts";
import type { StreamStatus } from "../core/ports/source.ts";

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
  /** Seconds since it started. */
  uptimeSeconds(): number;
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
      readonly kind: "counter" | "gauge";
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
  counter("clients_total", "Clients that ever connected.", (c) => c.meter.clientsTotal),
  counter("client_connections_total", "Clients that ever connected.", (c) => c.meter.clientsTotal),
  gauge("clients_active", "Clients connected now.", (c) => c.meter.clientsActive),
  gauge("clients_connected", "Clients connected now.", (c) => c.meter.clientsActive),
  gauge(
    "clients_lagging",
    "Clients fed from a queue of their own because they lag.",
    (c) => c.meter.clientsLagging,
  ),
  counter(
    "messages_received_total",
    "Messages that the source handed over.",
    (c) => c.meter.messagesReceived,
  ),
  counter(
    "bytes_received_total",
    "Bytes of data in the messages received.",
    (c) => c.meter.bytesReceived,
  ),
  counter(
    "messages_replayed_total",
    "Messages read from what streams keep, for clients that begin there or come back; what several need is read once.",
    (c) => c.meter.messagesReplayed,
  ),
  counter(
    "messages_offered_total",
    "Deliveries due: a message counts for each client it is meant for. Equals sent + queued + conflated + dropped.",
    (c) => c.meter.ledger.offered,
  ),
  counter("messages_sent_total", "Messages sent to clients.", (c) => c.meter.ledger.sent),
  counter(
    "bytes_sent_total",
    "Bytes of envelopes sent to clients.",
    (c) => c.meter.ledger.bytesSent,
  ),
  gauge(
    "messages_queued",
    "Deliveries that wait in lagging clients' queues.",
    (c) => c.meter.ledger.queued,
  ),
  gauge(
    "queued_bytes",
    "Bytes that wait in lagging clients' queues.",
    (c) => c.meter.ledger.queuedBytes,
  ),
  gauge("source_connected", "1 while the source delivers, 0 while it is away.", (c) =>
    c.sourceConnected() ? 1 : 0,
  ),
  ofStreams(
    "stream_followed",
    "1 while a stream of the configuration is followed, 0 while it is not there or can't be had.",
    (stream) => (stream.isFollowed ? 1 : 0),
  ),
  ofStreams(
    "stream_sequence",
    "The last message of the stream that came.",
    (stream) => stream.sequence,
  ),
  ofStreams(
    "stream_lag_messages",
    "How many more messages the stream had when that one came.",
    (stream) => stream.lag,
  ),
  gauge(
    "upstream_subscriptions",
    "Patterns subscribed to at the source.",
    (c) => c.upstream().subscriptions,
  ),
  gauge(
    "upstream_pending",
    "Patterns that clients wait for, and the source has not confirmed.",
    (c) => c.upstream().pending,
  ),
  gauge("ring_messages", "Messages kept for clients that come back.", (c) => c.kept().messages),
  gauge(
    "ring_bytes",
    "Bytes of the messages kept for clients that come back.",
    (c) => c.kept().bytes,
  ),
  counter(
    "messages_conflated_total",
    "Deliveries that a later value of their subject superseded.",
    (c) => c.meter.ledger.conflated,
  ),
  counter("gaps_total", "Gaps that clients were told of.", (c) => c.meter.gaps),
  counter("clients_resumed_total", "Clients that came back with a cursor.", (c) => c.meter.resumed),
  counter(
    "messages_tracked_total",
    "Messages that clients must acknowledge, each once. Equals acked + in flight + returned + lost.",
    (c) => c.meter.ledger.tracked,
  ),
  gauge(
    "messages_in_flight",
    "Messages that clients have not acknowledged.",
    (c) => c.meter.ledger.inFlight,
  ),
  counter(
    "messages_redelivered_total",
    "Messages that were sent again, each time.",
    (c) => c.meter.ledger.redelivered,
  ),
  counter(
    "dead_letters_total",
    "Messages that were published to dead_letter_subject.",
    (c) => c.meter.ledger.deadLetters,
  ),
  counter(
    "messages_returned_total",
    "Messages that went back to their durable, as their client was gone.",
    (c) => c.meter.ledger.returned,
  ),
  gauge("durables", "Durables that are used.", (c) => c.durables()),
  counter("sessions_total", "Sessions that were begun.", (c) => c.meter.sessionsTotal),
  counter(
    "sessions_resumed_total",
    "Clients that came back to their session.",
    (c) => c.meter.sessionsResumed,
  ),
  gauge(
    "sessions_parked",
    "Sessions that are kept without a connection.",
    (c) => c.meter.sessionsParked,
  ),
  gauge("session_bytes", "Bytes that are kept for sessions without a connection.", (c) =>
    c.sessionBytes(),
  ),
  labelled(
    "acks_total",
    "Acknowledgements, by what became of them, and those that did not come in time.",
    "result",
    (c) => Object.entries(c.meter.ledger.acks),
  ),
  labelled(
    "messages_lost_total",
    "Messages that were sent and not acknowledged, and will not be sent again, by reason.",
    "reason",
    (c) => Object.entries(c.meter.ledger.lost),
  ),
  labelled(
    "messages_dropped_total",
    "Deliveries that a client will not get, by reason.",
    "reason",
    (c) => Object.entries(c.meter.ledger.dropped),
  ),
  labelled(
    "client_disconnections_total",
    "Connections that ended, by reason.",
    "disconnect_reason",
    (c) => c.meter.disconnections,
  ),
  labelled(
    "client_frames_total",
    "Frames from clients that were understood, by type.",
    "type",
    (c) => Object.entries(c.meter.clientFrames),
  ),
  labelled(
    "requests_refused_total",
    "Requests of clients that were understood and not served, by the code of the answer.",
    "code",
    (c) => Object.entries(c.meter.refused),
  ),
  labelled("errors_total", "Errors, by type.", "error_type", (c) => c.meter.errors),
  gauge("server_uptime_seconds", "Seconds since the component started.", (c) => c.uptimeSeconds()),
  histogram(
    "broadcast_duration_seconds",
    "Time that one flush to all clients took.",
    ({ meter }) => meter.broadcastSeconds,
  ),
  histogram(
    "ack_latency_seconds",
    "Time from when a message was last sent until it was acknowledged.",
    ({ meter }) => meter.ledger.ackSeconds,
  ),
  histogram(
    "message_size_bytes",
    "Size of the messages received.",
    ({ meter }) => meter.messageBytes,
  ),
  histogram(
    "event_loop_lag_seconds",
    "By how much timers were late because the event loop was held, measured each 100 ms.",
    (c) => c.loopLag(),
  ),
  {
    kind: "gauge",
    name: `${PREFIX}build_info`,
    help: "Always 1; the labels say what runs.",
    labels: ["version", "runtime", "runtime_version"],
    read: ({ build }) => [[[build.version, build.runtime, build.runtimeVersion], 1]],
  },
];
