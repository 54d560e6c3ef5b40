import { expect } from "bun:test";
import { until } from "../../support/event-log.ts";
import type { Gateway } from "../../support/gateway-process.ts";

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

/**
 * The sum of a metric's series; 0 when there is none.
 *
 * @param label what the series must have besides, as it is written: `error_type="no_pong"`.
 */
export async function metric(gateway: Gateway, name: string, label = ""): Promise<number> {
  return sumOf(await metricsOf(gateway), name, label);
}

function sumOf(all: ReadonlyMap<string, number>, name: string, label = ""): number {
  const series = [...all].filter(([key]) => key.startsWith(`${name}{`) && key.includes(label));
  return series.reduce((sum, [, value]) => sum + value, 0);
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
  for (const ledger of [await countedLedger(gateway), await reportedLedger(gateway)]) {
    const { offered, ...ends } = ledger;
    const sum = Object.values(ends).reduce((total, count) => total + count, 0);
    expect({ ...ends, offered }).toEqual({ ...ends, offered: sum });
  }
  const series = await metricsOf(gateway);
  const tracked = sumOf(series, "websocket_messages_tracked_total");
  const acked = sumOf(series, "websocket_acks_total", 'result="acked"');
  const inFlight = sumOf(series, "websocket_messages_in_flight");
  const lost = sumOf(series, "websocket_messages_lost_total");
  const returned = sumOf(series, "websocket_messages_returned_total");
  const ends = { acked, inFlight, lost, returned };
  expect({ ...ends, tracked }).toEqual({ ...ends, tracked: acked + inFlight + lost + returned });
}

/** The same without clients and sessions: nothing waits for any, and all who ask are told the same. */
export async function expectSettledLedger(gateway: Gateway): Promise<void> {
  await expectBalancedLedger(gateway);
  const counted = await countedLedger(gateway);
  expect(counted.queued).toBe(0);
  expect(await metric(gateway, "websocket_messages_in_flight")).toBe(0);
  expect(await metric(gateway, "websocket_queued_bytes")).toBe(0);
  expect(await reportedLedger(gateway)).toEqual(counted);
}

async function countedLedger(gateway: Gateway): Promise<Ledger> {
  const series = await metricsOf(gateway);
  const sum = (name: string): number => sumOf(series, name);
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
