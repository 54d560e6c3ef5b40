import { describe, expect, test } from "bun:test";
import type { Readiness, Status } from "../../src/http/status.ts";
import { mergeReadiness, mergeStatus } from "../../src/workers/merge-status.ts";

const READY: Readiness = { ready: true, reasons: [] };
const AWAY: Readiness = { ready: false, reasons: ["NATS is away"] };

describe("Workers are ready", () => {
  test.each<[string, (Readiness | undefined)[], number[], boolean, string[]]>([
    ["if all are", [READY, READY], [], true, []],
    ["not if all say why, which is said once", [AWAY, AWAY], [], false, ["NATS is away"]],
    ["if one is; the other is named", [READY, AWAY], [], true, ["worker 2: NATS is away"]],
    ["if one doesn't answer", [READY, undefined], [], true, ["worker 2: it doesn't answer"]],
    ["not if none answers", [undefined, undefined], [], false, ["it doesn't answer"]],
    ["not while one starts", [READY], [2], false, ["worker 2: it is starting"]],
    ["not if none runs", [], [], false, ["no worker runs"]],
  ])("%s", (_, values, starting, ready, reasons) => {
    const answers = values.map((value, index) => ({ worker: index + 1, value }));
    expect(mergeReadiness(answers, starting, false)).toEqual({ ready, reasons });
  });

  test("not if all were told to end, whether they know already or not", () => {
    const answers = [READY, READY].map((value, index) => ({ worker: index + 1, value }));
    const reasons = ["the workers are about to drain"];
    expect(mergeReadiness(answers, [], true)).toEqual({ ready: false, reasons });
    const draining = answers.map(({ worker }) => ({ worker, value: AWAY }));
    expect(mergeReadiness(draining, [], true)).toEqual(AWAY);
  });
});

test("The status of workers is their sum, or the worst of them", () => {
  const quantiles = (max: number) => ({ p50: 0, p90: max / 2, p99: max, max });
  const statusOf = (n: number): Status => ({
    meta: { name: "n", type: "output", description: "d", version: "1" },
    health: {
      ...{ healthy: n === 1, error_count: n, uptime: n * 1000 },
      last_check: `2026-01-0${n}T00:00:00Z`,
      ...(n === 2 && { last_error: "no_pong" }),
    },
    data_flow: {
      ...{ messages_per_second: n, bytes_per_second: 10 * n, error_rate: n },
      last_activity: `2026-01-0${n}T00:00:00Z`,
    },
    ledger: { offered: 10 * n, sent: 7 * n, queued: n, conflated: n, dropped: n },
    lag: {
      ...{ seconds: quantiles(n), bytes: quantiles(100 / n) },
      furthest: [{ id: 1, seconds: n, bytes: 1 }],
    },
    source: { name: "NATS", connected: n === 2 },
    accounts: { blue: { status: { state: n === 1 ? "connected" : "connecting" }, sessions: n } },
    presence: { connections: 5, watches: n, stale: n === 2, ...(n === 2 && { problem: "away" }) },
    revocation: n === 2 ? { problem: "away" } : {},
  });
  const answers = [1, 2].map((worker) => ({ worker, value: statusOf(worker) }));
  const workers = [1, 2].map((worker) => ({ worker, pid: worker, state: "serving" as const }));
  expect(mergeStatus(answers, workers)).toEqual({
    meta: { name: "n", type: "output", description: "d", version: "1" },
    health: {
      ...{ healthy: false, error_count: 3, uptime: 2000 },
      ...{ last_check: "2026-01-02T00:00:00Z", last_error: "no_pong" },
    },
    data_flow: {
      ...{ messages_per_second: 3, bytes_per_second: 30, error_rate: 2 },
      last_activity: "2026-01-02T00:00:00Z",
    },
    ledger: { offered: 30, sent: 21, queued: 3, conflated: 3, dropped: 3 },
    lag: {
      ...{ seconds: quantiles(2), bytes: quantiles(100) },
      furthest: [
        { worker: 2, id: 1, seconds: 2, bytes: 1 },
        { worker: 1, id: 1, seconds: 1, bytes: 1 },
      ] as never,
    },
    source: { name: "NATS", connected: false },
    accounts: { blue: { status: { state: "connecting" }, sessions: 3 } },
    presence: { connections: 5, watches: 3, stale: true, problem: "away" },
    revocation: { problem: "away" },
    workers,
  });
});
