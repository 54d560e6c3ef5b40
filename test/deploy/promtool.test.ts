/** Prometheus' own tool judges the alerts, the dashboard's queries and the metrics of a running gateway. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ALERTS, type Alert, annotationsOf, RULES_FILE } from "../../scripts/alerts.ts";
import { DASHBOARD_FILE } from "../../scripts/dashboard.ts";
import { ensurePromtool, PROMTOOL_ADVICE } from "../../scripts/install-promtool.ts";
import { startGateway } from "../support/gateway-process.ts";
import { ROOT, TARGETS } from "../support/runtimes.ts";

setDefaultTimeout(180_000);

const promtool = ensurePromtool();
if (promtool === undefined) {
  process.stderr.write(`Skipped as there is no promtool here: its tests; ${PROMTOOL_ADVICE}\n`);
}

/** Runs promtool on a file with this text, and returns what it says if it finds a fault. */
function faultsOf(command: readonly string[], text: string, input = ""): string {
  const folder = mkdtempSync(join(tmpdir(), "spillway-promtool-"));
  try {
    const file = join(folder, "file.yml");
    writeFileSync(file, text);
    const args = [...command, ...(text === "" ? [] : [file])];
    const { status, stdout, stderr } = spawnSync(promtool!, args, { input, encoding: "utf8" });
    return status === 0 ? "" : `exit code ${status}\n${stdout}\n${stderr}`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Series by their names and labels, with values a minute apart, as promtool writes them. */
type Series = Readonly<Record<string, string>>;

interface Case {
  /** The labels of the alert, besides those of every gateway. */
  readonly labels?: Readonly<Record<string, string>>;
  /** The labels that it doesn't have. */
  readonly without?: readonly string[];
  readonly fires: Series;
  readonly quiet: Series;
}

const GATEWAY = { job: "spillway", instance: "gateway:9090", component: "prices" };

/** Writes a series of the gateway. */
function of(name: string, labels: Readonly<Record<string, string>> = {}): string {
  const pairs = Object.entries({ ...GATEWAY, ...labels }).map(([label, value]) => {
    return `${label}="${value}"`;
  });
  return `${name}{${pairs.join(",")}}`;
}

function ofProcess(name: string, instance = GATEWAY.instance): string {
  return `${name}{job="${GATEWAY.job}",instance="${instance}"}`;
}

/** A counter that is 0 for five minutes, then 3. */
const GROWS = "0x4 3x20";
const FLAT = "3x25";

function growing(counter: string, label: string, value: string, ...excused: string[]): Case {
  return {
    labels: { [label]: value },
    fires: { [of(counter, { [label]: value })]: GROWS },
    quiet: Object.fromEntries([
      [of(counter, { [label]: value }), FLAT],
      ...excused.map((other) => [of(counter, { [label]: other }), GROWS]),
    ]),
  };
}

/** A gauge with the values of trouble, and of none. */
function gauge(name: string, bad: number, good: number, labels = {}): Case {
  return {
    labels,
    fires: { [of(name, labels)]: `${bad}x25` },
    quiet: { [of(name, labels)]: `${good}x25` },
  };
}

/** A histogram whose values are all above a bound, and all below it. */
function histogram(name: string, bound: string, next: string): Case {
  const series = (below: string): Series => ({
    [of(`${name}_bucket`, { le: bound })]: below,
    [of(`${name}_bucket`, { le: next })]: "0+10x25",
    [of(`${name}_bucket`, { le: "+Inf" })]: "0+10x25",
  });
  return { fires: series("0x25"), quiet: series("0+10x25") };
}

const CASES: Readonly<Record<string, Case>> = {
  SpillwayAbsent: {
    without: ["job", "instance", "component"],
    fires: {},
    quiet: { [of("websocket_build_info")]: "1x25" },
  },
  SpillwayNatsDisconnected: gauge("websocket_source_connected", 0, 1),
  SpillwayAccountDisconnected: gauge("websocket_account_connected", 0, 1, { account: "acme" }),
  SpillwayStreamNotFollowed: gauge("websocket_stream_followed", 0, 1, { stream: "ORDERS" }),
  SpillwayStreamLag: gauge("websocket_stream_lag_messages", 10_001, 10_000, { stream: "ORDERS" }),
  SpillwayRefusedByNats: growing(
    "websocket_errors_total",
    "error_type",
    "upstream_refused",
    "handshake",
  ),
  SpillwayMessagesDropped: growing(
    "websocket_messages_dropped_total",
    "reason",
    "slow_consumer",
    "abandoned",
    "forbidden",
  ),
  SpillwayMessagesLost: growing(
    "websocket_messages_lost_total",
    "reason",
    "max_deliver",
    "disconnected",
    "revoked",
    "forbidden",
  ),
  SpillwayDeliveryLate: histogram("websocket_delivery_seconds", "1", "2.5"),
  SpillwayEventLoopBlocked: histogram("websocket_event_loop_lag_seconds", "0.25", "0.5"),
  SpillwayOverloaded: growing(
    "websocket_client_disconnections_total",
    "disconnect_reason",
    "overloaded",
    "client",
  ),
  SpillwayFileDescriptorsLow: {
    without: ["component"],
    fires: {
      [of("websocket_build_info")]: "1x25",
      [ofProcess("process_open_fds")]: "901x25",
      [ofProcess("process_max_fds")]: "1000x25",
    },
    quiet: {
      [of("websocket_build_info")]: "1x25",
      [ofProcess("process_open_fds")]: "899x25",
      [ofProcess("process_max_fds")]: "1000x25",
      // Another program.
      [ofProcess("process_open_fds", "database:1")]: "901x25",
      [ofProcess("process_max_fds", "database:1")]: "1000x25",
    },
  },
  SpillwayTokensUnchecked: growing(
    "websocket_access_refused_total",
    "reason",
    "unavailable",
    "unauthenticated",
  ),
  SpillwayPresenceStale: gauge("websocket_presence_stale", 1, 0),
  SpillwayRestarts: {
    fires: { [of("websocket_server_uptime_seconds")]: "60 120 0 60 0 60 0+60x20" },
    quiet: { [of("websocket_server_uptime_seconds")]: "60 120 0 60 0+60x20" },
  },
  SpillwayWorkerRestarts: {
    fires: { [of("websocket_worker_restarts_total")]: "0 1 2 3 4 4x20" },
    quiet: { [of("websocket_worker_restarts_total")]: "0 1 2 2x20" },
  },
  SpillwayReloadFailed: growing(
    "spillway_config_reloads_total",
    "result",
    "restart_needed",
    "applied",
  ),
  SpillwayInternalFault: growing("websocket_errors_total", "error_type", "source_fault", "no_pong"),
};

/** The unit test of an alert, as promtool reads it. */
function unitTest(alert: Alert, fires: boolean): object {
  const { labels: more, without = [], fires: bad, quiet } = CASES[alert.name]!;
  const labels = Object.fromEntries(
    Object.entries({ ...GATEWAY, ...more }).filter(([label]) => !without.includes(label)),
  );
  const filled = (text: string): string =>
    text.replace(/\{\{ \$labels\.(\w+) \}\}/g, (_, label: string) => labels[label] ?? "");
  const annotations = Object.entries(annotationsOf(alert)).map(([name, text]) => [
    name,
    filled(text),
  ]);
  const expected = {
    exp_labels: { severity: alert.severity, ...labels },
    exp_annotations: Object.fromEntries(annotations),
  };
  return {
    interval: "1m",
    input_series: Object.entries(fires ? bad : quiet).map(([series, values]) => ({
      series,
      values,
    })),
    alert_rule_test: [
      { eval_time: "8m", alertname: alert.name, exp_alerts: fires ? [expected] : [] },
    ],
  };
}

function rulesTest(tests: readonly object[]): string {
  // YAML is a superset of JSON.
  return JSON.stringify({ rule_files: [RULES_FILE], evaluation_interval: "1m", tests });
}

interface Board {
  readonly panels: readonly { readonly targets?: readonly { readonly expr: string }[] }[];
  readonly templating: { readonly list: readonly { readonly query?: unknown }[] };
}

const board: Board = JSON.parse(readFileSync(DASHBOARD_FILE, "utf8"));
const queries = board.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));

/** All metrics that the rules and the dashboard name. */
const named = new Set(
  [...ALERTS.map(({ expr }) => expr), ...queries, JSON.stringify(board.templating)].flatMap(
    (text) => text.match(/\b(?:websocket|process)_\w+/g) ?? [],
  ),
);

/** Series that need a configuration of their own, or that a runtime doesn't have. */
const NOT_ALWAYS =
  /^(?:websocket_(?:account_connected|stream_\w+|presence_\w+)|process_(?:gc_seconds_total|open_fds|max_fds))$/;

/** Each value of a counter's label in the documentation's table. */
const documented = Array.from(
  readFileSync(`${ROOT}docs/metrics.md`, "utf8").matchAll(
    /^\| `(\w+)\{(\w+)\}` \| counter \| .* \2: (.*)\. \|$/gm,
  ),
  ([, name = "", label = "", values = ""]) =>
    Array.from(values.matchAll(/`(\w+)`/g), ([, value = ""]) => ({ name, label, value })),
).flat();

describe.skipIf(promtool === undefined)("promtool", () => {
  test("finds the rules valid", () => {
    expect(faultsOf(["check", "rules", RULES_FILE], "")).toBe("");
  });

  test("finds each query of the dashboard valid", () => {
    expect(queries.length).toBeGreaterThan(50);
    const rules = queries.map((expr, index) => ({
      record: `query:${index}`,
      expr: expr.replaceAll("$__rate_interval", "1m"),
    }));
    const file = JSON.stringify({ groups: [{ name: "dashboard", rules }] });
    expect(faultsOf(["check", "rules"], file)).toBe("");
  });

  test("has a case for each alert", () => {
    expect(Object.keys(CASES)).toEqual(ALERTS.map(({ name }) => name));
  });

  test.each(ALERTS.map((alert) => [alert.name, alert] as const))(
    "sees %s fire, and only in trouble",
    (_, alert) => {
      const both = rulesTest([unitTest(alert, true), unitTest(alert, false)]);
      expect(faultsOf(["test", "rules"], both)).toBe("");
      // The test can fail.
      const swapped = { ...unitTest(alert, false), input_series: [] };
      const never = { ...unitTest(alert, true), input_series: [] };
      const wrong = alert.name === "SpillwayAbsent" ? swapped : never;
      expect(faultsOf(["test", "rules"], rulesTest([wrong]))).toContain("FAILED");
    },
  );

  test.each([[TARGETS.bun], [TARGETS.deno], [TARGETS.node]])(
    "finds no fault with the metrics of a gateway on $name, which has all that is shown",
    async (target) => {
      const gateway = await startGateway(target);
      try {
        const text = await (await gateway.get("/metrics")).text();
        expect(faultsOf(["check", "metrics"], "", text)).toBe("");
        const types = new Set(Array.from(text.matchAll(/^# TYPE (\w+)/gm), ([, name]) => name));
        const series = new Set(Array.from(text.matchAll(/^(\w+)(?:\{| )/gm), ([, name]) => name));
        const missing = [...named].filter((name) =>
          NOT_ALWAYS.test(name) ? !types.has(name) : !series.has(name),
        );
        expect(missing).toEqual([]);
        const counts = new Map(text.split("\n").map((line) => line.split(" ") as [string, string]));
        const absent = documented.filter(({ name, label, value }) => {
          return counts.get(`${name}{component="websocket-output",${label}="${value}"}`) !== "0";
        });
        expect(absent).toEqual([]);
        expect(documented.length).toBeGreaterThan(60);
        expect(series.has("process_gc_seconds_total")).toBe(target.runtime === "node");
      } finally {
        await gateway.stop();
      }
    },
  );
});
