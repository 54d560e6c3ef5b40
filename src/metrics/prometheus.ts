import { Counter, Gauge, Registry } from "prom-client";
import type { Meter } from "../core/meter.ts";
import { MeterHistogram } from "./meter-histogram.ts";

export type { Registry as MetricsRegistry } from "prom-client";

/** A registry with nothing on it. */
export function createRegistry(): Registry {
  return new Registry();
}

/** A component whose figures are shown. */
export interface Metered {
  /** The value of the label `component`. */
  readonly name: string;
  readonly meter: Meter;
  sourceConnected(): boolean;
  /** What is subscribed to at the source, and what of it is not confirmed yet. */
  upstream(): { readonly subscriptions: number; readonly pending: number };
  /** What is kept for clients that come back. */
  kept(): { readonly messages: number; readonly bytes: number };
  /** What is kept for sessions without a connection, in bytes. */
  sessionBytes(): number;
  /** How many durables are used. */
  durables(): number;
  /** Seconds since it started. */
  uptimeSeconds(): number;
}

/** What each registry shows: several components may share one. */
const shown = new WeakMap<Registry, Set<Metered>>();

/**
 * Shows a component's figures on a registry, under the names that StreamKit's documentation
 * promises and the facts that its code exports. They are read when asked for, so that counting
 * stays an addition. Label values come from the configuration and from lists in the code, never
 * from a subject or a client.
 *
 * @returns a function that takes the component off the registry again.
 */
export function showMetrics(registry: Registry, metered: Metered): () => void {
  let components = shown.get(registry);
  if (components === undefined) {
    components = new Set();
    shown.set(registry, components);
    registerFamilies(registry, components);
  }
  const all = components;
  all.add(metered);
  return () => void all.delete(metered);
}

type Reading = (metered: Metered) => number;
/** Values by the one label that a family has beside `component`. */
type LabelledReading = (metered: Metered) => Iterable<readonly [label: string, value: number]>;

function registerFamilies(registry: Registry, components: ReadonlySet<Metered>): void {
  const registers = [registry];

  const family = (kind: "counter" | "gauge", name: string, help: string, read: Reading): void => {
    const options = { name: `websocket_${name}`, help, labelNames: ["component"], registers };
    if (kind === "counter") {
      new Counter({
        ...options,
        collect() {
          this.reset();
          for (const one of components) this.inc({ component: one.name }, read(one));
        },
      });
    } else {
      new Gauge({
        ...options,
        collect() {
          this.reset();
          for (const one of components) this.set({ component: one.name }, read(one));
        },
      });
    }
  };

  const labelled = (name: string, help: string, label: string, read: LabelledReading): void => {
    new Counter({
      name: `websocket_${name}`,
      help,
      labelNames: ["component", label],
      registers,
      collect() {
        this.reset();
        for (const one of components) {
          for (const [value, count] of read(one)) {
            this.inc({ component: one.name, [label]: value }, count);
          }
        }
      },
    });
  };

  const histogram = (
    name: string,
    help: string,
    read: (meter: Meter) => Meter["messageBytes"],
  ): void => {
    const options = { name: `websocket_${name}`, help, registers };
    new MeterHistogram(options, components, (one) => read(one.meter));
  };

  // Each under two names: that of StreamKit's documentation, and that of its code, which its dashboards use.
  for (const name of ["clients_total", "client_connections_total"]) {
    family("counter", name, "Clients that ever connected.", (c) => c.meter.clientsTotal);
  }
  for (const name of ["clients_active", "clients_connected"]) {
    family("gauge", name, "Clients connected now.", (c) => c.meter.clientsActive);
  }
  family(
    "gauge",
    "clients_lagging",
    "Clients fed from a queue of their own because they lag.",
    (c) => c.meter.clientsLagging,
  );
  family(
    "counter",
    "messages_received_total",
    "Messages that the source handed over.",
    (c) => c.meter.messagesReceived,
  );
  family(
    "counter",
    "bytes_received_total",
    "Bytes of data in the messages received.",
    (c) => c.meter.bytesReceived,
  );
  family(
    "counter",
    "messages_offered_total",
    "Deliveries due: a message counts for each client it is meant for. Equals sent + queued + conflated + dropped.",
    (c) => c.meter.offered,
  );
  family("counter", "messages_sent_total", "Messages sent to clients.", (c) => c.meter.sent);
  family(
    "counter",
    "bytes_sent_total",
    "Bytes of envelopes sent to clients.",
    (c) => c.meter.bytesSent,
  );
  family(
    "gauge",
    "messages_queued",
    "Deliveries that wait in lagging clients' queues.",
    (c) => c.meter.queued,
  );
  family(
    "gauge",
    "queued_bytes",
    "Bytes that wait in lagging clients' queues.",
    (c) => c.meter.queuedBytes,
  );
  family("gauge", "source_connected", "1 while the source delivers, 0 while it is away.", (c) =>
    c.sourceConnected() ? 1 : 0,
  );
  family(
    "gauge",
    "upstream_subscriptions",
    "Patterns subscribed to at the source.",
    (c) => c.upstream().subscriptions,
  );
  family(
    "gauge",
    "upstream_pending",
    "Patterns that clients wait for, and the source has not confirmed.",
    (c) => c.upstream().pending,
  );
  family(
    "gauge",
    "ring_messages",
    "Messages kept for clients that come back.",
    (c) => c.kept().messages,
  );
  family("gauge", "ring_bytes", "Bytes of them.", (c) => c.kept().bytes);
  family(
    "counter",
    "messages_conflated_total",
    "Deliveries that a later value of their subject superseded.",
    (c) => c.meter.conflated,
  );
  family("counter", "gaps_total", "Gaps that clients were told of.", (c) => c.meter.gaps);
  family(
    "counter",
    "clients_resumed_total",
    "Clients that came back with a cursor.",
    (c) => c.meter.resumed,
  );
  family(
    "counter",
    "messages_tracked_total",
    "Messages that clients must acknowledge, each once. Equals acked + in flight + returned + lost.",
    (c) => c.meter.tracked,
  );
  family(
    "gauge",
    "messages_in_flight",
    "Messages that clients have not acknowledged.",
    (c) => c.meter.inFlight,
  );
  family(
    "counter",
    "messages_redelivered_total",
    "Messages that were sent again, each time.",
    (c) => c.meter.redelivered,
  );
  family(
    "counter",
    "dead_letters_total",
    "Messages that were published to dead_letter_subject.",
    (c) => c.meter.deadLetters,
  );
  family(
    "counter",
    "messages_returned_total",
    "Messages that went back to their durable, as their client was gone.",
    (c) => c.meter.returned,
  );
  family("gauge", "durables", "Durables that are used.", (c) => c.durables());
  family("counter", "sessions_total", "Sessions that were begun.", (c) => c.meter.sessionsTotal);
  family(
    "counter",
    "sessions_resumed_total",
    "Clients that came back to their session.",
    (c) => c.meter.sessionsResumed,
  );
  family(
    "gauge",
    "sessions_parked",
    "Sessions that are kept without a connection.",
    (c) => c.meter.sessionsParked,
  );
  family("gauge", "session_bytes", "Bytes that are kept for them.", (c) => c.sessionBytes());
  labelled(
    "acks_total",
    "Acknowledgements, by what became of them, and those that did not come in time.",
    "result",
    (c) => Object.entries(c.meter.acks),
  );
  labelled(
    "messages_lost_total",
    "Messages that were sent and not acknowledged, and will not be sent again, by reason.",
    "reason",
    (c) => Object.entries(c.meter.lost),
  );
  labelled(
    "messages_dropped_total",
    "Deliveries that a client will not get, by reason.",
    "reason",
    (c) => Object.entries(c.meter.dropped),
  );
  labelled(
    "client_disconnections_total",
    "Connections that ended, by reason.",
    "disconnect_reason",
    (c) => c.meter.disconnections,
  );
  labelled(
    "client_frames_total",
    "Frames from clients that were understood, by type.",
    "type",
    (c) => Object.entries(c.meter.clientFrames),
  );
  labelled(
    "requests_refused_total",
    "Requests of clients that were understood and not served, by the code of the answer.",
    "code",
    (c) => Object.entries(c.meter.refused),
  );
  labelled("errors_total", "Errors, by type.", "error_type", (c) => c.meter.errors);
  family("gauge", "server_uptime_seconds", "Seconds since the component started.", (c) =>
    c.uptimeSeconds(),
  );
  histogram(
    "broadcast_duration_seconds",
    "Time that one flush to all clients took.",
    (meter) => meter.broadcastSeconds,
  );
  histogram(
    "ack_latency_seconds",
    "Time from when a message was last sent until it was acknowledged.",
    (meter) => meter.ackSeconds,
  );
  histogram("message_size_bytes", "Size of the messages received.", (meter) => meter.messageBytes);
}
