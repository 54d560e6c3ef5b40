import type { Contender } from "./contenders/contender.ts";
import { bare, natsListener, socketIo, wsLoop } from "./contenders/controls.ts";
import { spillway } from "./contenders/spillway.ts";
import type { Block, Cell } from "./plan.ts";
import { type Crowd, flow, type Scenario, type Start } from "./scenario.ts";

/** The default sockets of each runtime, and what they are compared with. */
const OURS = [spillway("bun", "node"), spillway("node", "node"), spillway("deno", "node")];
const BARE = [bare("bun", "node"), bare("node", "node"), bare("deno", "node")];
const NATIVE = [spillway("bun", "native"), spillway("deno", "native")];
const BARE_NATIVE = [bare("bun", "native"), bare("deno", "native")];
const PEERS = [wsLoop, socketIo];
/** What all are compared with, and ours. */
const FEW = [natsListener, ...OURS];
/** Each control before what it is the control of. */
const WITH_BARE = [natsListener, ...pairs(BARE, OURS)];
const ALL = [...WITH_BARE, ...pairs(BARE_NATIVE, NATIVE)];

const LOADS = [1_000, 10_000, 30_000, 60_000, undefined];
const MANY = 10_000;
/** Longer than others, as at ten messages a second one more or less is a lot. */
const GROWTH_MS = 2500;

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

/** Of a full run; see `plan.ts`. */
export function fullBlocks(reference: Contender | undefined): Block[] {
  const c = reference === undefined ? [] : [reference];
  return [
    fanOut(100, 128, (rate) => {
      if (rate === undefined) return [...c, ...PEERS, ...ALL];
      return [...PEERS, ...(rate <= 10_000 ? ALL : FEW)];
    }),
    fanOut(100, 1024, (rate) => (rate === undefined ? [...c, ...WITH_BARE] : FEW)),
    fanOut(1_000, 128, (rate) => {
      if (rate === undefined) return [...c, ...WITH_BARE];
      return rate === 1_000 ? [...PEERS, ...FEW] : FEW;
    }),
    fanOut(1_000, 1024, (rate) => (rate === undefined ? [...c, ...FEW] : FEW)),
    flushing(["0s", "1ms", "2ms", "5ms"]),
    growth([100, 1_000, MANY], [...c, ...FEW]),
    stalling(FEW),
    idle(ALL),
    storm(ALL),
    start([natsListener, ...OURS, ...NATIVE]),
  ];
}

/** Of a quick run: what the targets are about. */
export function quickBlocks(reference: Contender | undefined): Block[] {
  const c = reference === undefined ? [] : [reference];
  return [
    fanOut(100, 128, (rate) => (rate === undefined ? [...c, ...WITH_BARE] : FEW), [
      1_000,
      10_000,
      60_000,
      undefined,
    ]),
    growth([100, MANY], [...c, ...OURS]),
    stalling(OURS),
    idle(pairs(BARE, OURS)),
    start(OURS),
  ];
}

function fanOut(
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

function flushing(intervals: readonly string[]): Block {
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
    cells: cross(scenarios, OURS),
    baseline: scenarios[0]!,
  };
}

function growth(counts: readonly number[], contenders: readonly Contender[]): Block {
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
    cells: cross(scenarios, contenders),
    baseline: scenarios[0]!,
  };
}

function stalling(contenders: readonly Contender[]): Block {
  const load = [100, 1024, 10_000] as const;
  const without = flow(...load, { name: "all 100 read" });
  const stalled = flow(...load, { name: "one of 100 stalls", stalled: 1 });
  return {
    name: STALLED,
    about:
      "10,000 messages/s of 1 KiB to 100 clients, of whom one stops to read; the figures are those of the others. Ratios are against the same without it.",
    cells: [without, stalled].flatMap((scenario) => cross([scenario], contenders)),
    baseline: without,
  };
}

function idle(contenders: readonly Contender[]): Block {
  return {
    name: "10,000 idle clients",
    about: "They connect 100 at a time; then one message of 128 B is sent to all, five times.",
    cells: cross([IDLE], contenders),
  };
}

function storm(contenders: readonly Contender[]): Block {
  return {
    name: "10,000 clients at once",
    about: "All of them connect at the same moment.",
    cells: cross([STORM], contenders),
  };
}

function start(contenders: readonly Contender[]): Block {
  return {
    name: "Start",
    about:
      "From the start of the process until it listens and has NATS; then its memory when idle.",
    cells: cross([START], contenders),
  };
}

function cross(scenarios: readonly Scenario[], contenders: readonly Contender[]): Cell[] {
  return scenarios.flatMap((scenario) => contenders.map((contender) => ({ scenario, contender })));
}

function pairs<T>(firsts: readonly T[], seconds: readonly T[]): T[] {
  return firsts.flatMap((first, index) => [first, seconds[index]!]);
}
