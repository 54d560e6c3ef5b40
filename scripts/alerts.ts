import { fileURLToPath } from "node:url";

/** An alert of Prometheus, and its entry in the runbook. */
export interface Alert {
  /** The rule's name; its anchor in the runbook is the same in lower case. */
  readonly name: string;
  /** PromQL: each series of its result is one alert. */
  readonly expr: string;
  /** The time for which `expr` must hold. */
  readonly holds: string;
  readonly severity: "critical" | "warning";
  /** Says what is wrong, with labels as Prometheus' templates. */
  readonly summary: string;
  /** Says what users lose. */
  readonly loss: string;
  /** The events of the log that say more. */
  readonly events: readonly string[];
  /** Says what to do, in Markdown. */
  readonly remedy: string;
}

const INSTANCE = "{{ $labels.instance }}";

/** Restricts figures of a process to gateways: other programs have them too. */
const OF_GATEWAYS = "and on (job, instance) websocket_build_info";

/** The 99th of 100 values of a histogram in the last five minutes. */
function p99(histogram: string): string {
  return `histogram_quantile(0.99, sum by (job, instance, component, le) (rate(${histogram}_bucket[5m])))`;
}

/** The growth of a counter in five minutes by a label, where there is any. */
function grown(counter: string, label: string, matcher: string): string {
  return `sum by (job, instance, component, ${label}) (increase(${counter}{${matcher}}[5m])) > 0`;
}

/** Each alert means that users lose something, or will soon. */
export const ALERTS: readonly Alert[] = [
  {
    name: "SpillwayAbsent",
    expr: "absent(websocket_build_info)",
    holds: "5m",
    severity: "critical",
    summary: "Prometheus sees no gateway",
    loss: "all messages, or only you lose sight of the gateways",
    events: ["stop_failed", "stopped"],
    remedy:
      "Look whether the process runs and why it ended. If it runs, Prometheus can't reach `/metrics`: if clients need a token, it is only at `admin_port`, and `admin_host` is loopback unless you set it. With `admin_tokens_file`, Prometheus needs a token of the role `viewer`.",
  },
  {
    name: "SpillwayNatsDisconnected",
    expr: "websocket_source_connected == 0",
    holds: "1m",
    severity: "critical",
    summary: `The gateway ${INSTANCE} is not connected to NATS`,
    loss: "messages of core NATS while the gateway isn't connected; messages of streams are late",
    events: ["source_lost", "source_away"],
    remedy:
      "The log and `/readyz` give the reason: NATS is down, or its address or login is wrong. Clients stay connected, and the gateway reconnects by itself.",
  },
  {
    name: "SpillwayAccountDisconnected",
    expr: "websocket_account_connected == 0",
    holds: "1m",
    severity: "critical",
    summary: `The gateway ${INSTANCE} is not connected to NATS for the account {{ $labels.account }}`,
    loss: "messages of core NATS, if they are clients of this account",
    events: ["source_lost", "source_away"],
    remedy:
      "The lines of the log with this `account` give the reason, often a login that NATS no longer takes.",
  },
  {
    name: "SpillwayStreamNotFollowed",
    expr: "websocket_stream_followed == 0",
    holds: "1m",
    severity: "critical",
    summary: `The gateway ${INSTANCE} doesn't receive the stream {{ $labels.stream }}`,
    loss: "new messages of a stream, until the gateway follows it again",
    events: ["stream_lost"],
    remedy:
      "Create the stream, or give the gateway's NATS user the permissions that the log names.",
  },
  {
    name: "SpillwayStreamLag",
    expr: "websocket_stream_lag_messages > 10000",
    holds: "5m",
    severity: "warning",
    summary: `The gateway ${INSTANCE} is more than 10,000 messages behind the stream {{ $labels.stream }}`,
    loss: "time: messages of the stream arrive late",
    events: ["stream_lost"],
    remedy:
      "The gateway or its line to NATS is too slow for what the stream stores. Look at `websocket_event_loop_lag_seconds` and at the CPU. Narrow `subjects`, or divide them among gateways: more gateways for the same subjects don't help, as each receives all.",
  },
  {
    name: "SpillwayRefusedByNats",
    expr: grown("websocket_errors_total", "error_type", 'error_type=~".+_refused"'),
    holds: "0m",
    severity: "warning",
    summary: `NATS refuses something that the gateway ${INSTANCE} asks for ({{ $labels.error_type }})`,
    loss: "messages that NATS doesn't send to or take from the gateway",
    events: ["stream_refused", "publish_refused"],
    remedy: "The log has NATS' reason: permissions, or the limits of the account.",
  },
  {
    name: "SpillwayMessagesDropped",
    expr: grown("websocket_messages_dropped_total", "reason", 'reason!~"abandoned|forbidden"'),
    holds: "0m",
    severity: "warning",
    summary: `The gateway ${INSTANCE} drops messages that waited for slow clients ({{ $labels.reason }})`,
    loss: "messages that waited for a slow client; a gap tells it",
    events: ["client_cut"],
    remedy:
      "If few clients lose much, their network or code is slow: offer them `max_rate` or `conflate`. If all do, raise `max_queue_bytes` or the gateway's bandwidth. See [slow-clients.md](slow-clients.md).",
  },
  {
    name: "SpillwayMessagesLost",
    expr: grown(
      "websocket_messages_lost_total",
      "reason",
      'reason!~"disconnected|revoked|forbidden"',
    ),
    holds: "0m",
    severity: "warning",
    summary: `Messages of the gateway ${INSTANCE} were never acknowledged ({{ $labels.reason }})`,
    loss: "messages that were sent and never acknowledged",
    events: ["client_cut"],
    remedy:
      "`max_deliver`: read `dead_letter_subject`. `session_expired`: raise `session_ttl`. `session_evicted`: too many sessions wait for their clients, so add gateways or lower `session_ttl`. `stopped`: raise `stop_timeout`, or a worker has ended: see SpillwayWorkerRestarts.",
  },
  {
    name: "SpillwayDeliveryLate",
    expr: `${p99("websocket_delivery_seconds")} > 1`,
    holds: "5m",
    severity: "warning",
    summary: `One of 100 messages of the gateway ${INSTANCE} needs more than a second to its client`,
    loss: "time: messages arrive late",
    events: ["client_cut"],
    remedy:
      "If `websocket_event_loop_lag_seconds` is high too, see SpillwayEventLoopBlocked. If not, the clients' networks are slow: `websocket_client_lag_seconds` and `lag.furthest` of `/healthz` say how many clients and which.",
  },
  {
    name: "SpillwayEventLoopBlocked",
    expr: `${p99("websocket_event_loop_lag_seconds")} > 0.25`,
    holds: "5m",
    severity: "warning",
    summary: `The event loop of the gateway ${INSTANCE} is blocked for more than 250 ms at a time`,
    loss: "time: all clients of the gateway get their messages late",
    events: [],
    remedy:
      "The gateway has more to do than its core can: add gateways. In your own server, look for code that runs long without `await`. On Node, compare `process_gc_seconds_total`: if it grows by more than 0.1 a second, the process needs more memory.",
  },
  {
    name: "SpillwayOverloaded",
    expr: grown(
      "websocket_client_disconnections_total",
      "disconnect_reason",
      'disconnect_reason="overloaded"',
    ),
    holds: "0m",
    severity: "critical",
    summary: `The gateway ${INSTANCE} disconnects clients because all queues together are too large`,
    loss: "their connection",
    events: ["client_cut"],
    remedy:
      "Add gateways, or memory and `max_total_queue_bytes`. New clients get 503 meanwhile. The lines of the log have the `code` 4503.",
  },
  {
    name: "SpillwayFileDescriptorsLow",
    expr: `process_open_fds / process_max_fds > 0.9 ${OF_GATEWAYS}`,
    holds: "1m",
    severity: "critical",
    summary: `The gateway ${INSTANCE} has used nine tenths of its file descriptors`,
    loss: "new connections, as soon as no file descriptors are left",
    events: ["descriptors_exhausted"],
    remedy: "Raise `ulimit -n` (see [File descriptors](#file-descriptors)), or add gateways.",
  },
  {
    name: "SpillwayTokensUnchecked",
    expr: grown("websocket_access_refused_total", "reason", 'reason="unavailable"'),
    holds: "0m",
    severity: "critical",
    summary: `The gateway ${INSTANCE} can't check the tokens of its clients`,
    loss: "new connections, as tokens can't be checked",
    events: ["authorizer_failed", "keys_failed"],
    remedy: "Restore the service or the keys that the log names. Clients get 503 and retry.",
  },
  {
    name: "SpillwayPresenceStale",
    expr: "websocket_presence_stale == 1",
    holds: "1m",
    severity: "warning",
    summary: `The gateway ${INSTANCE} can't read or write the presence bucket`,
    loss: "the truth about who is there",
    events: [],
    remedy: "`presence` of `/healthz` says why. See [presence.md](presence.md).",
  },
  {
    name: "SpillwayRestarts",
    expr: "resets(websocket_server_uptime_seconds[15m]) > 2",
    holds: "0m",
    severity: "critical",
    summary: `The gateway ${INSTANCE} has restarted three times in 15 minutes`,
    loss: "their connection, again and again; messages of core NATS meanwhile",
    events: ["stop_failed"],
    remedy:
      "The last lines of the log before each start say why. Without any, something killed the process: for memory (`OOMKilled`), or because a liveness probe failed.",
  },
  {
    name: "SpillwayWorkerRestarts",
    expr: "increase(websocket_worker_restarts_total[15m]) > 2",
    holds: "0m",
    severity: "critical",
    summary: `Workers of ${INSTANCE} have ended three times in 15 minutes`,
    loss: "their connection, if they are clients of a worker that ends; messages of core NATS meanwhile",
    events: ["worker_ended"],
    remedy:
      "The line says how the worker ended; the lines of the log with its number (`worker`) before that say why. SIGKILL that nobody sent is the system's, for memory. See [Every core](#every-core).",
  },
  {
    name: "SpillwayReloadFailed",
    expr: grown("spillway_config_reloads_total", "result", 'result=~"invalid|restart_needed"'),
    holds: "0m",
    severity: "warning",
    summary: `The gateway ${INSTANCE} can't reload its configuration`,
    loss: "nothing yet: the gateway continues with the configuration that it had",
    events: ["config_reload_failed"],
    remedy:
      "The line of the log names the key, its value and the rule. Correct the file, or restart the gateway if the line says so. See [Reload](#reload).",
  },
  {
    name: "SpillwayInternalFault",
    expr: grown("websocket_errors_total", "error_type", 'error_type="source_fault"'),
    holds: "0m",
    severity: "warning",
    summary: `The gateway ${INSTANCE} caught an internal error`,
    loss: "nothing yet: the gateway continues",
    events: ["source_fault"],
    remedy: "This is a defect. Please report it with the line of the log.",
  },
];

export const RULES_FILE: string = fileURLToPath(
  new URL("../deploy/prometheus-rules.yml", import.meta.url),
);

/** Returns the place in the runbook that says what to do about an alert. */
export function runbookOf({ name }: Alert): string {
  return `docs/operations.md#${name.toLowerCase()}`;
}

/** The annotations of an alert's rule. */
export function annotationsOf(alert: Alert): Readonly<Record<string, string>> {
  return {
    summary: alert.summary,
    description: `Users lose ${alert.loss}.`,
    runbook: runbookOf(alert),
  };
}

/** Returns the alerts as a file of rules. A text in JSON's form is one of YAML's too. */
export function rulesFile(): string {
  const rules = ALERTS.map((alert) => {
    const annotations = Object.entries(annotationsOf(alert)).map(
      ([name, text]) => `          ${name}: ${JSON.stringify(text)}\n`,
    );
    return `
      - alert: ${alert.name}
        expr: |-
          ${alert.expr}
        for: ${alert.holds}
        labels:
          severity: ${alert.severity}
        annotations:
${annotations.join("")}`;
  });
  return `# Alerts of Spillway for Prometheus, made by \`npm run docs\` from scripts/alerts.ts.
# Each annotation "runbook" names the place that says what to do.
groups:
  - name: spillway
    rules:${rules.join("")}`;
}

/** The runbook: an entry for each alert. */
export function runbook(): string {
  return ALERTS.map((alert) => {
    const { name, severity, loss, expr, holds, events, remedy } = alert;
    const during = holds === "0m" ? "" : ` for ${holds}`;
    const log =
      events.length === 0
        ? ""
        : `- In the log: ${events.map((event) => `\`${event}\``).join(", ")}\n`;
    return `### ${name}

- Users lose: ${loss}
- Severity: ${severity}
- Fires if: \`${expr}\`${during}
${log}
${remedy}
`;
  }).join("\n");
}
