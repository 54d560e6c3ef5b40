import { describe, expect, test } from "bun:test";
import { Counter, Gauge } from "prom-client";
import { FAMILIES } from "../../src/metrics/families.ts";
import { PROCESS_FAMILIES } from "../../src/metrics/process.ts";
import { createRegistry } from "../../src/metrics/prometheus.ts";
import {
  aggregatorOf,
  keepCounters,
  type MetricsSnapshot,
  restartsSnapshot,
  showTogether,
  snapshotOf,
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

  test("include the restarts that the supervisor has counted", async () => {
    expect(await linesOf([restartsSnapshot("w", 0), restartsSnapshot("w", 3)])).toEqual([
      'websocket_worker_restarts_total{component="w"} 3',
    ]);
  });
});
