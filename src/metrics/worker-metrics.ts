import { AggregatorRegistry, type Registry } from "prom-client";

/** The metrics of one process at one moment, as JSON that can be sent to another one. */
export type MetricsSnapshot = readonly {
  readonly name: string;
  readonly help: string;
  readonly type: unknown;
  readonly aggregator: string;
  readonly values: readonly {
    readonly value: number;
    readonly labels: Readonly<Record<string, string | number | undefined>>;
  }[];
}[];

/** Metrics of which several processes together have the highest or the lowest value. All others are summed. */
const AGGREGATORS: Readonly<Record<string, "max" | "min">> = {
  // A quantile of all clients can't be known from those of each process: this is the upper bound.
  websocket_client_lag_seconds: "max",
  websocket_client_lag_bytes: "max",
  websocket_source_connected: "min",
  websocket_account_connected: "min",
  websocket_stream_followed: "min",
  websocket_stream_sequence: "min",
  websocket_stream_lag_messages: "max",
  // Each process knows of all connections of all gateways.
  websocket_presence_connections: "max",
  websocket_presence_stale: "max",
  websocket_server_uptime_seconds: "max",
  websocket_build_info: "max",
  process_start_time_seconds: "min",
  // A worker that refuses what the others take is the one to know of.
  spillway_config_last_reload_success_timestamp_seconds: "min",
  // The limit is that of each process.
  process_open_fds: "max",
  process_max_fds: "min",
};

/** Counters whose sum must still be right after the end of a process: what a gauge had then counts with this label. */
const AT_THE_END: Readonly<
  Record<string, { readonly gauge: string; readonly label: string; readonly value: string }>
> = {
  websocket_messages_dropped_total: {
    ...{ gauge: "websocket_messages_queued", label: "reason", value: "abandoned" },
  },
  websocket_messages_lost_total: {
    ...{ gauge: "websocket_messages_in_flight", label: "reason", value: "stopped" },
  },
  websocket_client_disconnections_total: {
    ...{ gauge: "websocket_clients_active", label: "disconnect_reason", value: "vanished" },
  },
};

/** Returns how the values of several processes become one. */
export function aggregatorOf(name: string): "sum" | "max" | "min" {
  return AGGREGATORS[name] ?? "sum";
}

/** Reads the metrics of this process. */
export async function snapshotOf(registry: Registry): Promise<MetricsSnapshot> {
  return await registry.getMetricsAsJSON();
}

/** Returns the counters and histograms of a process that has ended, added to those of earlier ones: counters never go back. */
export async function keepCounters(
  earlier: MetricsSnapshot,
  last: MetricsSnapshot,
): Promise<MetricsSnapshot> {
  const counts = last.filter(({ type }) => type === "counter" || type === "histogram");
  const ended = counts.map((metric) => withWhatWasLeft(metric, last));
  return await aggregate([earlier, ended]).getMetricsAsJSON();
}

/** Adds to a counter what a gauge of the same process has. */
function withWhatWasLeft(
  metric: MetricsSnapshot[number],
  last: MetricsSnapshot,
): MetricsSnapshot[number] {
  const end = AT_THE_END[metric.name];
  if (end === undefined) return metric;
  const left = last.find(({ name }) => name === end.gauge)?.values[0]?.value ?? 0;
  const values = metric.values.map((one) =>
    one.labels[end.label] === end.value ? { ...one, value: one.value + left } : one,
  );
  return { ...metric, values };
}

/** Returns the metrics of several processes as those of one, in Prometheus' text format. */
export async function showTogether(
  snapshots: readonly MetricsSnapshot[],
): Promise<{ readonly contentType: string; readonly text: string }> {
  const registry = aggregate(snapshots);
  return { contentType: registry.contentType, text: await registry.metrics() };
}

/** Returns what only the supervisor knows: workers themselves have 0 for it. */
export function supervisorSnapshot(
  component: string,
  figures: Readonly<Record<"worker_restarts_total" | "workers_silent", number>>,
): MetricsSnapshot {
  return Object.entries(figures).map(([name, value]) => ({
    name: `websocket_${name}`,
    help: "",
    type: name.endsWith("_total") ? "counter" : "gauge",
    ...{ aggregator: "sum", values: [{ value, labels: { component } }] },
  }));
}

function aggregate(snapshots: readonly MetricsSnapshot[]): Registry {
  return AggregatorRegistry.aggregate(snapshots as unknown as Array<object>) as Registry;
}
