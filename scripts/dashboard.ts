import { fileURLToPath } from "node:url";
import { FAMILIES, type Family } from "../src/metrics/families.ts";
import { PROCESS_FAMILIES } from "../src/metrics/process.ts";

export const DASHBOARD_FILE: string = fileURLToPath(
  new URL("../deploy/grafana/spillway.json", import.meta.url),
);

/** A graph with the metrics of one question. */
type Graph = readonly [title: string, ...metrics: string[]];

/** The rows from top to bottom: what users feel, then why. Names are those of metrics, without `websocket_`. */
const ROWS: readonly (readonly [title: string, ...graphs: Graph[]])[] = [
  [
    "Are users served",
    ["NATS", "source_connected", "account_connected", "stream_followed"],
    ["Clients", "clients_active", "clients_lagging"],
    ["Deliveries", "messages_offered_total", "messages_sent_total"],
    ["Time from arrival to the client's confirmation", "delivery_seconds"],
    ["Messages dropped", "messages_dropped_total"],
    ["Messages lost", "messages_lost_total"],
    ["Lag of clients, in time", "client_lag_seconds"],
    ["Lag of clients, in bytes", "client_lag_bytes"],
  ],
  [
    "Messages",
    ["Messages received", "messages_received_total", "messages_replayed_total"],
    ["Bytes", "bytes_received_total", "bytes_sent_total"],
    ["Size of messages", "message_size_bytes"],
    ["Waiting for lagging clients: messages", "messages_queued", "messages_conflated_total"],
    ["Waiting for lagging clients: bytes", "queued_bytes"],
    ["Gaps and resumes", "gaps_total", "clients_resumed_total"],
  ],
  [
    "Connections",
    ["Connects", "clients_total"],
    ["Disconnects, by reason", "client_disconnections_total"],
    ["Not let in: too many", "clients_limited_total"],
    ["Not let in: access", "access_refused_total"],
    ["Frames of clients", "client_frames_total"],
    ["Requests refused", "requests_refused_total"],
    ["Errors", "errors_total"],
  ],
  [
    "Acknowledgements and sessions",
    ["Acknowledgements", "acks_total"],
    ["Time to the acknowledgement", "ack_latency_seconds"],
    ["In flight", "messages_in_flight"],
    [
      "Sent again",
      "messages_tracked_total",
      "messages_redelivered_total",
      "messages_returned_total",
      "dead_letters_total",
    ],
    ["Sessions and durables", "sessions_parked", "durables"],
    ["Sessions that begin", "sessions_total", "sessions_resumed_total"],
    ["Bytes of sessions without a connection", "session_bytes"],
  ],
  [
    "Messages of clients",
    [
      "Published",
      "client_messages_published_total",
      "client_messages_duplicate_total",
      "client_requests_sent_total",
      "client_publish_timeouts_total",
    ],
    ["Refused", "client_publishes_refused_total"],
    ["Waiting for answers", "client_publishes_in_flight"],
  ],
  [
    "NATS",
    ["Subscriptions", "upstream_subscriptions", "upstream_pending"],
    ["Behind the stream", "stream_lag_messages"],
    ["Sequence", "stream_sequence"],
    ["Ring: messages", "ring_messages"],
    ["Ring: bytes", "ring_bytes"],
  ],
  [
    "Presence",
    ["Who is there", "presence_connections", "presence_watches"],
    ["Stale", "presence_stale"],
    ["Writes", "presence_writes_total", "presence_omitted_total"],
  ],
  [
    "Process",
    ["Event loop: delay of a timer", "event_loop_lag_seconds"],
    ["Duration of a flush", "broadcast_duration_seconds"],
    [
      "CPU, and garbage collection on Node",
      "process_cpu_seconds_total",
      "process_gc_seconds_total",
    ],
    ["Memory", "process_resident_memory_bytes", "process_heap_bytes"],
    ["File descriptors", "process_open_fds", "process_max_fds"],
    ["Uptime", "server_uptime_seconds"],
    ["Workers", "workers", "workers_silent", "worker_restarts_total"],
    ["Start", "process_start_time_seconds"],
    ["Reloads of the configuration", "spillway_config_reloads_total"],
    ["Last reload", "spillway_config_last_reload_success_timestamp_seconds"],
    ["Versions", "build_info"],
  ],
];

/** The same figures under StreamKit's other names. */
const ALIASES = ["websocket_client_connections_total", "websocket_clients_connected"];

type Shown = Family | (typeof PROCESS_FAMILIES)[number];

const SHOWN = new Map<string, Shown>(
  [...FAMILIES, ...PROCESS_FAMILIES].map((family) => [family.name, family]),
);

// biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana replaces it.
const DATASOURCE = { type: "prometheus", uid: "${datasource}" };
const WIDTH = 24;
const PANEL = { w: 8, h: 7 };

function familyOf(name: string): Shown {
  const family = SHOWN.get(/^(?:process|spillway)_/.test(name) ? name : `websocket_${name}`);
  if (family === undefined) throw new Error(`The dashboard shows ${name}, which is no metric`);
  return family;
}

function labelsOf(family: Shown): readonly string[] {
  return "labels" in family ? family.labels : [];
}

function selector(name: string): string {
  const component = name.startsWith("process_") ? "" : 'component=~"$component",';
  return `{${component}instance=~"$instance"}`;
}

/** Returns the queries that show a metric, each with its legend. */
function queriesOf(family: Shown, isAlone: boolean): readonly (readonly [string, string])[] {
  const { name, kind } = family;
  const chosen = selector(name);
  const labels = labelsOf(family);
  const short = isAlone ? "" : `${name.replace(/^(websocket|process|spillway)_|_total$/g, "")} `;
  const legend = (...parts: readonly string[]): string =>
    `${short}${parts.map((part) => `{{${part}}}`).join(" ")}`.trim();
  switch (kind) {
    case "histogram": {
      const buckets = `sum by (le) (rate(${name}_bucket${chosen}[$__rate_interval]))`;
      return [0.5, 0.9, 0.99].map(
        (quantile) =>
          [`histogram_quantile(${quantile}, ${buckets})`, `p${quantile * 100}`] as const,
      );
    }
    case "counter": {
      const by = labels.length > 0 ? labels : ["instance"];
      const rate = `rate(${name}${chosen}[$__rate_interval])`;
      return [[`sum by (${by.join(", ")}) (${rate})`, legend(...by)]];
    }
    case "summary":
      return [[`max by (quantile) (${name}${chosen})`, "quantile {{quantile}}"]];
    default:
      return [[`${name}${chosen}`, legend("instance", ...labels)]];
  }
}

/** Returns Grafana's unit of a metric, which the end of its name says. */
function unitOf({ name, kind }: Shown): string {
  if (/(?:start_time|timestamp)_seconds$/.test(name)) return "dateTimeAsIso";
  if (name.endsWith("_bytes_total") || /bytes_\w+_total$/.test(name)) return "Bps";
  if (name.endsWith("_seconds_total")) return "percentunit";
  if (kind === "counter") return "cps";
  if (name.endsWith("_bytes")) return "bytes";
  return name.endsWith("_seconds") ? "s" : "short";
}

/** Returns the dashboard of Grafana as JSON: each metric has its place in one graph. */
export function dashboard(): string {
  const missing = new Set([...SHOWN.keys()].filter((name) => !ALIASES.includes(name)));
  const panels: object[] = [];
  let y = 0;
  for (const [title, ...graphs] of ROWS) {
    panels.push({
      ...{ type: "row", title, collapsed: false, panels: [] },
      id: panels.length + 1,
      gridPos: { x: 0, y: y++, w: WIDTH, h: 1 },
    });
    graphs.forEach(([graph, ...names], index) => {
      const families = names.map(familyOf);
      for (const { name } of families) {
        if (!missing.delete(name)) throw new Error(`The dashboard shows ${name} twice`);
      }
      const x = (index * PANEL.w) % WIDTH;
      panels.push({
        ...panelOf(graph, families),
        id: panels.length + 1,
        gridPos: { x, y, ...PANEL },
      });
      if (x + PANEL.w >= WIDTH || index === graphs.length - 1) y += PANEL.h;
    });
  }
  if (missing.size > 0) throw new Error(`The dashboard doesn't show ${[...missing].join(", ")}`);
  const board = {
    uid: "spillway",
    title: "Spillway",
    description: "Made by `npm run docs` from the definitions of the metrics.",
    tags: ["spillway", "nats", "websocket"],
    schemaVersion: 39,
    version: 1,
    editable: true,
    refresh: "30s",
    time: { from: "now-1h", to: "now" },
    timezone: "browser",
    graphTooltip: 1,
    annotations: { list: [] },
    templating: { list: variables() },
    panels,
  };
  return `${JSON.stringify(board, null, 2)}\n`;
}

function panelOf(title: string, families: readonly Shown[]): object {
  const isAlone = families.length === 1;
  const queries = families.flatMap((family) => queriesOf(family, isAlone));
  const isTable = families.some(({ name }) => name.endsWith("build_info"));
  return {
    type: isTable ? "table" : "timeseries",
    title,
    description: families.map(({ name, help }) => `\`${name}\`: ${help}`).join("\n\n"),
    datasource: DATASOURCE,
    fieldConfig: { defaults: { unit: unitOf(families[0]!), min: 0 }, overrides: [] },
    options: isTable ? {} : { legend: { displayMode: "list" }, tooltip: { mode: "multi" } },
    targets: queries.map(([expr, legendFormat], index) => ({
      refId: String.fromCharCode(65 + index),
      datasource: DATASOURCE,
      expr,
      legendFormat,
      ...(isTable && { instant: true, format: "table" }),
    })),
  };
}

function variables(): object[] {
  const labelValues = (name: string, metric: string): object => ({
    ...{ name, type: "query", datasource: DATASOURCE, multi: true, includeAll: true },
    allValue: ".*",
    current: { text: "All", value: "$__all" },
    refresh: 2,
    query: { query: `label_values(${metric}, ${name})`, refId: name },
  });
  return [
    { name: "datasource", type: "datasource", query: "prometheus" },
    labelValues("component", "websocket_build_info"),
    labelValues("instance", 'websocket_build_info{component=~"$component"}'),
  ];
}
