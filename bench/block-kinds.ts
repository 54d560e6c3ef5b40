import type { Contender } from "./contenders/contender.ts";
import { KEPT_STREAM, KEPT_SUBJECT } from "./load/endpoint.ts";
import type { Block, Cell } from "./plan.ts";
import { type Crowd, flow, type Replay, type Scenario, type Start } from "./scenario.ts";

const LOADS = [1_000, 10_000, 30_000, 60_000, undefined];
const MANY = 10_000;
/** Longer than others, as at ten messages a second one more or less is a lot. */
const GROWTH_MS = 2000;

/** The kernel takes a second of messages for a reader that has stalled before anybody can know. */
const STALLED_MS = 2500;

/** The names of blocks and scenarios in which targets are looked for. */
export const GROWTH = "Growth";
export const STALLED = "A stalled reader";
export const IDLE: Crowd = {
  kind: "crowd",
  name: "10,000 idle",
  clients: MANY,
  atOnce: 100,
  messages: 5,
};
const STORM: Crowd = {
  kind: "crowd",
  name: "10,000 at once",
  clients: MANY,
  atOnce: MANY,
  messages: 0,
};
const START: Start = { kind: "start", name: "start" };

/**
 * All loads of clients and payloads of these sizes.
 *
 * @param contendersAt who is measured at so many messages per second; `undefined`: saturated.
 */
export function fanOut(
  clients: number,
  payloadBytes: number,
  contendersAt: (rate: number | undefined) => readonly Contender[],
  loads: readonly (number | undefined)[] = LOADS,
): Block {
  const name = flow(clients, payloadBytes, undefined).name.replace(/, saturated$/, "");
  const cells = loads.flatMap((rate) =>
    cross([flow(clients, payloadBytes, rate)], contendersAt(rate)),
  );
  return { name, about: "Fan-out from one subject to all clients.", cells };
}

/** The same load with other settings of how long messages may wait. */
export function flushing(intervals: readonly string[], contenders: readonly Contender[]): Block {
  const scenarios = intervals.map((interval) =>
    flow(100, 128, 2_000, {
      name: `flush_interval ${interval}`,
      settings: { flush_interval: interval },
    }),
  );
  return {
    name: "Flush interval",
    about:
      "How long messages may wait for others: 2,000 messages/s of 128 B to 100 clients. Ratios are against no wait.",
    cells: perContender(scenarios, contenders),
    baseline: scenarios[0]!,
  };
}

/** More and more clients, and in all as many deliveries. */
export function growth(counts: readonly number[], contenders: readonly Contender[]): Block {
  const scenarios = counts.map((clients) =>
    flow(clients, 128, 100_000 / clients, {
      name: `${clients.toLocaleString("en")} clients, 100,000 deliveries/s`,
      measureMs: GROWTH_MS,
    }),
  );
  return {
    name: GROWTH,
    about:
      "More clients at the same 100,000 deliveries/s. Ratios are against 100 clients; what C grows by is the kernel's part.",
    cells: perContender(scenarios, contenders),
    baseline: scenarios[0]!,
  };
}

/** With a client that stops to read, and without. */
export function stalling(contenders: readonly Contender[]): Block {
  const load = [100, 1024, 5_000] as const;
  const measured = { measureMs: STALLED_MS };
  const without = flow(...load, { name: "all 100 read", ...measured });
  const stalled = flow(...load, { name: "one of 100 stalls", stalled: 1, ...measured });
  return {
    name: STALLED,
    about:
      "5,000 messages/s of 1 KiB to 100 clients, of whom one stops to read; the figures are those of the others. Ratios are against the same without it.",
    cells: perContender([without, stalled], contenders),
    baseline: without,
  };
}

/** Very many clients that get nothing, and then one message. */
export function idle(contenders: readonly Contender[]): Block {
  return {
    name: "10,000 idle clients",
    about: "They connect 100 at a time; then one message of 128 B is sent to all, five times.",
    cells: cross([IDLE], contenders),
  };
}

/** Very many clients that all connect at once. */
export function storm(contenders: readonly Contender[]): Block {
  return {
    name: "10,000 clients at once",
    about: "All of them connect at the same moment.",
    cells: cross([STORM], contenders),
  };
}

/** Clients that all come back at once to a stream. */
export function returning(contenders: readonly Contender[]): Block {
  const scenarios = [1, 100, 1_000].map(
    (clients): Replay => ({
      kind: "replay",
      name: clients === 1 ? "1 comes back" : `${clients.toLocaleString("en")} come back`,
      clients,
      messages: 10_000,
      payloadBytes: 256,
      v1: true,
      settings: { streams: [`${KEPT_STREAM}:${KEPT_SUBJECT}`], subjects: ["live.>"] },
    }),
  );
  return {
    name: "Coming back to a stream",
    about:
      "Each client gets 10,000 messages of 256 B that JetStream has kept; of nats-server's listener by a consumer of its own. p50 and p99 are those of ten live clients at 500 messages/s, meanwhile and before.",
    cells: cross(scenarios, contenders),
  };
}

/** Time and memory until it is ready. */
export function start(contenders: readonly Contender[]): Block {
  return {
    name: "Start",
    about:
      "From the start of the process until it listens and has NATS; then its memory when idle.",
    cells: cross([START], contenders),
  };
}

/** Contenders beside one another. */
export function cross(scenarios: readonly Scenario[], contenders: readonly Contender[]): Cell[] {
  return scenarios.flatMap((scenario) => contenders.map((contender) => ({ scenario, contender })));
}

/** The scenarios of a contender beside one another, as it is its own control. */
export function perContender(
  scenarios: readonly Scenario[],
  contenders: readonly Contender[],
): Cell[] {
  return contenders.flatMap((contender) => cross(scenarios, [contender]));
}

/** Each of the firsts before its second. */
export function pairs<T>(firsts: readonly T[], seconds: readonly T[]): T[] {
  return firsts.flatMap((first, index) => [first, seconds[index]!]);
}
