import { afterAll, afterEach, beforeAll, expect } from "bun:test";
import type { Readiness } from "../../../src/http/status.ts";
import { CountingClient } from "../../support/counting-client.ts";
import { DEADLINE_MS, until } from "../../support/event-log.ts";
import { type EventReader, openEvents } from "../../support/event-source.ts";
import {
  type Gateway,
  type GatewayOptions,
  type LogLine,
  startGateway,
} from "../../support/gateway-process.ts";
import { openRaw, type RawWebSocket } from "../../support/raw-websocket.ts";
import type { Target } from "../../support/runtimes.ts";
import { connect, type Subscriber } from "../../support/subscriber.ts";
import { openV1, type V1Client } from "../../support/v1-client.ts";
import { expectSettledLedger, metric, untilMetrics } from "./metrics.ts";

/** How to end the clients that a test has connected to a gateway. */
const connected = new WeakMap<Gateway, (() => unknown)[]>();

/**
 * Starts the service before the tests of this `describe`, waits until it is ready, and ends it
 * after them. Whatever a test did, its clients must be gone after it and the ledger balance;
 * whatever all of them did, the process must end with code 0.
 */
export function useGateway(
  target: Target,
  options: () => GatewayOptions | Promise<GatewayOptions>,
): () => Gateway {
  let gateway: Gateway | undefined;
  beforeAll(async () => {
    gateway = await startGateway(target, await options());
    await untilReady(gateway);
  });
  afterEach(async () => {
    if (gateway === undefined) return;
    for (const leave of connected.get(gateway)?.splice(0) ?? []) leave();
    await expectNothingLeft(gateway);
  });
  afterAll(async () => {
    if (gateway === undefined) return;
    expect(await gateway.stop()).toEqual({ code: 0, signal: null });
  });
  return () => gateway!;
}

/** Waits until no client and no session is left, and checks that the ledger balances. */
export async function expectNothingLeft(gateway: Gateway): Promise<void> {
  // What is kept for clients that might come back is given up in the end.
  const left = ["websocket_clients_active", "websocket_sessions_parked"];
  await untilMetrics(gateway, left, (active, parked) => active === 0 && parked === 0);
  await expectSettledLedger(gateway);
}

/** A gateway with `admin_port`, as its operators see it: metrics and health are there. */
export async function asOperator(gateway: Gateway): Promise<Gateway> {
  const listens = ({ properties }: LogLine): boolean => properties.event === "admin_listening";
  const { port } = (await gateway.waitForLog(listens)).properties;
  const get = (path: string) =>
    fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(DEADLINE_MS) });
  return { ...gateway, get };
}

/** Waits until what is published now arrives at each client: all workers are ready, where there are several. */
export async function untilReady(gateway: Gateway): Promise<void> {
  const ask = async () => (await (await gateway.get("/readyz")).json()) as Readiness;
  await until("readiness of all", ask, ({ ready, reasons }) => ready && reasons.length === 0);
}

/**
 * Connects and returns when the gateway has taken the client in, so that it misses nothing. It is
 * closed after the test.
 */
export async function subscribe(
  gateway: Gateway,
  query = "",
  options: Parameters<typeof connect>[1] = {},
): Promise<Subscriber> {
  const open = async () => [await connect(gateway.wsUrl + query, options)];
  return (await takenIn(gateway, open, (client) => client.close()))[0]!;
}

/** Like {@linkcode subscribe}, several at once. */
export async function subscribeMany(gateway: Gateway, count: number): Promise<Subscriber[]> {
  const open = () => Promise.all(Array.from({ length: count }, () => connect(gateway.wsUrl)));
  return await takenIn(gateway, open, (client) => client.close());
}

/** Like {@linkcode subscribe}, with a client that only counts. */
export async function subscribeCounting(gateway: Gateway): Promise<CountingClient> {
  const open = async () => [await CountingClient.open(gateway.wsUrl)];
  return (await takenIn(gateway, open, (client) => client.close()))[0]!;
}

/** Like {@linkcode subscribe}, with a client over which the test has full control. */
export async function subscribeRaw(
  gateway: Gateway,
  options: Parameters<typeof openRaw>[1] = {},
  query = "",
): Promise<RawWebSocket> {
  const open = async () => [await openRaw(gateway.wsUrl + query, options)];
  return (await takenIn(gateway, open, (client) => client.destroy()))[0]!;
}

/** Like {@linkcode subscribe}, with a client of the dialect `spillway.v1.json`. */
export async function subscribeV1(gateway: Gateway, query = ""): Promise<V1Client> {
  const open = async () => [await openV1(gateway.wsUrl + query)];
  return (await takenIn(gateway, open, (client) => client.raw.destroy()))[0]!;
}

/** Like {@linkcode subscribeV1}, several at once. */
export async function subscribeManyV1(gateway: Gateway, count: number): Promise<V1Client[]> {
  const open = () => Promise.all(Array.from({ length: count }, () => openV1(gateway.wsUrl)));
  return await takenIn(gateway, open, (client) => client.raw.destroy());
}

/** Like {@linkcode subscribe}, with a reader of server-sent events. */
export async function subscribeEvents(
  gateway: Gateway,
  query = "",
  headers: Readonly<Record<string, string>> = {},
): Promise<EventReader> {
  const open = async () => [await openEvents(`${gateway.url}${gateway.path}/sse${query}`, headers)];
  return (await takenIn(gateway, open, (client) => client.destroy()))[0]!;
}

/** Like {@linkcode subscribe}, with clients of any kind. */
export async function takenIn<T>(
  gateway: Gateway,
  open: () => Promise<T[]>,
  leave: (client: T) => unknown,
): Promise<T[]> {
  const before = await metric(gateway, "websocket_clients_total");
  const clients = await open();
  const leaves = connected.get(gateway) ?? [];
  leaves.push(...clients.map((client) => () => leave(client)));
  connected.set(gateway, leaves);
  const all = before + clients.length;
  // NATS may not have heard yet what they want.
  const names = [
    "websocket_clients_total",
    "websocket_source_connected",
    "websocket_upstream_pending",
  ];
  await untilMetrics(
    gateway,
    names,
    (total = 0, connected, pending) => total >= all && (connected !== 1 || pending === 0),
  );
  return clients;
}
