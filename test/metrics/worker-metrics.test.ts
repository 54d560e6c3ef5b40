import { describe, expect, test } from "bun:test";
import { Counter, Gauge } from "prom-client";
import { FAMILIES } from "../../src/metrics/families.ts";
import { PROCESS_FAMILIES } from "../../src/metrics/process.ts";
import { createRegistry } from "../../src/metrics/prometheus.ts";
import {
  aggregatorOf,
  keepCounters,
  type MetricsSnapshot,
  showTogether,
  snapshotOf,
  supervisorSnapshot,
} from "../../src/metrics/worker-metrics.ts";

/** The message of a worker: JSON. */
async function snapshot(sent: number, queued: number, lag: number): Promise<MetricsSnapshot> {
  const registry = createRegistry();
  const counter = new Counter({
    name: "sent_total",
    help: "h",
    labelNames: ["a"],
    registers: [registry],
  });
  counter.inc({ a: "x" }, sent);
  new Gauge({ name: "queued", help: "h", registers: [registry] }).set(queued);
  const name = "websocket_client_lag_seconds";
  const aggregator = aggregatorOf(name);
  new Gauge({ name, help: "h", registers: [registry], aggregator }).set(lag);
  return JSON.parse(JSON.stringify(await snapshotOf(registry)));
}

async function linesOf(snapshots: readonly MetricsSnapshot[]): Promise<string[]> {
  const { text } = await showTogether(snapshots);
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}

describe("The metrics of several processes", () => {
  test("are the sum, or the highest value where a sum says nothing", async () => {
    expect(await linesOf([await snapshot(2, 3, 4), await snapshot(5, 7, 1)])).toEqual([
      'sent_total{a="x"} 7',
      "queued 10",
      "websocket_client_lag_seconds 4",
    ]);
  });

  test("have no sum of times, which would be a time that never was", () => {
    const times = [...FAMILIES, ...PROCESS_FAMILIES]
      .map(({ name }) => name)
      .filter((name) => /(?:time|timestamp)_seconds$/.test(name));
    expect(times).toHaveLength(3);
    expect(times.map(aggregatorOf)).not.toContain("sum");
  });

  test("include the counters of those that have ended, and none of their gauges", async () => {
    const once = await keepCounters([], await snapshot(2, 3, 4));
    const twice = await keepCounters(once, await snapshot(10, 3, 4));
    expect(await linesOf([await snapshot(5, 7, 1), twice])).toEqual([
      'sent_total{a="x"} 17',
      "queued 7",
      "websocket_client_lag_seconds 1",
    ]);
  });

  test("balance after the end of one that had clients, and messages for them", async () => {
    const registry = createRegistry();
    for (const [name, label, values] of [
      ["messages_dropped_total", "reason", { abandoned: 1, expired: 2 }],
      ["messages_lost_total", "reason", { stopped: 3, revoked: 4 }],
      ["client_disconnections_total", "disconnect_reason", { vanished: 5, client: 6 }],
    ] as const) {
      const counter = new Counter({
        ...{ name: `websocket_${name}`, help: "h", labelNames: [label], registers: [registry] },
      });
      for (const [value, count] of Object.entries(values)) counter.inc({ [label]: value }, count);
    }
    for (const [name, value] of [
      ["messages_queued", 10],
      ["messages_in_flight", 20],
      ["clients_active", 30],
    ] as const) {
      new Gauge({ name: `websocket_${name}`, help: "h", registers: [registry] }).set(value);
    }
    expect(await linesOf([await keepCounters([], await snapshotOf(registry))])).toEqual([
      'websocket_messages_dropped_total{reason="abandoned"} 11',
      'websocket_messages_dropped_total{reason="expired"} 2',
      'websocket_messages_lost_total{reason="stopped"} 23',
      'websocket_messages_lost_total{reason="revoked"} 4',
      'websocket_client_disconnections_total{disconnect_reason="vanished"} 35',
      'websocket_client_disconnections_total{disconnect_reason="client"} 6',
    ]);
  });

  test("include what only the supervisor knows", async () => {
    const [worker, supervisor] = [0, 1].map((n) =>
      supervisorSnapshot("w", { worker_restarts_total: 3 * n, workers_silent: n }),
    );
    expect(await linesOf([worker!, supervisor!])).toEqual([
      'websocket_worker_restarts_total{component="w"} 3',
      'websocket_workers_silent{component="w"} 1',
    ]);
  });
});
