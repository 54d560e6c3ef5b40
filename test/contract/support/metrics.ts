import { expect } from "bun:test";
import { until } from "../../support/event-log.ts";
import type { Gateway } from "../../support/gateway-process.ts";

/** What `/metrics` said at one moment. */
interface Metrics {
  /**
   * The sum of a metric's series; 0 when there is none.
   *
   * @param label what the series must have besides, as it is written: `error_type="no_pong"`.
   */
  sum(name: string, label?: string): number;
}

/** Asks for `/metrics` once. */
async function readMetrics(gateway: Gateway): Promise<Metrics> {
  const series = [...(await metricsOf(gateway))];
  return {
    sum: (name, label = "") =>
      series
        .filter(([key]) => key.startsWith(`${name}{`) && key.includes(label))
        .reduce((sum, [, value]) => sum + value, 0),
  };
}

/** Every series of `/metrics` with its value, as it is written there. */
export async function metricsOf(gateway: Gateway): Promise<Map<string, number>> {
  const text = await (await gateway.get("/metrics")).text();
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const space = line.lastIndexOf(" ");
      return [line.slice(0, space), Number(line.slice(space + 1))];
    }),
  );
}

/** See {@linkcode Metrics.sum}. */
export async function metric(gateway: Gateway, name: string, label = ""): Promise<number> {
  return (await readMetrics(gateway)).sum(name, label);
}

/** Waits until a metric has this value. */
export async function untilMetric(
  gateway: Gateway,
  name: string,
  fits: (value: number) => boolean,
  label = "",
): Promise<number> {
  return await until(`${name} that fits`, () => metric(gateway, name, label), fits);
}

/**
 * Waits until several metrics fit at the same time.
 *
 * @param fits is given their values, in the order of the names.
 */
export async function untilMetrics(
  gateway: Gateway,
  names: readonly string[],
  fits: (...values: number[]) => boolean,
): Promise<void> {
  const ask = async (): Promise<number[]> => {
    const { sum } = await readMetrics(gateway);
    return names.map((name) => sum(name));
  };
  await until(`${names.join(", ")} that fit`, ask, (values) => fits(...values));
}

/** What became of every delivery. */
interface Ledger {
  readonly offered: number;
  readonly sent: number;
  readonly queued: number;
  readonly conflated: number;
  readonly dropped: number;
}

/**
 * Every message that was due to a client was sent, waits, was superseded, or is counted as dropped;
 * and every one that had to be acknowledged was, still has to be, or is counted as lost.
 */
export async function expectBalancedLedger(gateway: Gateway): Promise<void> {
  const metrics = await readMetrics(gateway);
  expectBalance(metrics, await reportedLedger(gateway));
}

/** The same without clients and sessions: nothing waits for any, and all who ask are told the same. */
export async function expectSettledLedger(gateway: Gateway): Promise<void> {
  const metrics = await readMetrics(gateway);
  const reported = await reportedLedger(gateway);
  expectBalance(metrics, reported);
  const counted = countedLedger(metrics);
  expect(counted.queued).toBe(0);
  expect(metrics.sum("websocket_messages_in_flight")).toBe(0);
  expect(metrics.sum("websocket_queued_bytes")).toBe(0);
  expect(reported).toEqual(counted);
}

function expectBalance(metrics: Metrics, reported: Ledger): void {
  for (const { offered, ...ends } of [countedLedger(metrics), reported]) {
    const sum = Object.values(ends).reduce((total, count) => total + count, 0);
    expect({ ...ends, offered }).toEqual({ ...ends, offered: sum });
  }
  const tracked = metrics.sum("websocket_messages_tracked_total");
  const acked = metrics.sum("websocket_acks_total", 'result="acked"');
  const inFlight = metrics.sum("websocket_messages_in_flight");
  const lost = metrics.sum("websocket_messages_lost_total");
  const returned = metrics.sum("websocket_messages_returned_total");
  const ends = { acked, inFlight, lost, returned };
  expect({ ...ends, tracked }).toEqual({ ...ends, tracked: acked + inFlight + lost + returned });
}

function countedLedger({ sum }: Metrics): Ledger {
  return {
    offered: sum("websocket_messages_offered_total"),
    sent: sum("websocket_messages_sent_total"),
    queued: sum("websocket_messages_queued"),
    conflated: sum("websocket_messages_conflated_total"),
    dropped: sum("websocket_messages_dropped_total"),
  };
}

async function reportedLedger(gateway: Gateway): Promise<Ledger> {
  const { ledger } = (await (await gateway.get("/healthz")).json()) as { ledger: Ledger };
  return ledger;
}
