import type { Contender } from "./contenders/contender.ts";
import { bare, natsListener, socketIo, wsLoop } from "./contenders/controls.ts";
import { spillway } from "./contenders/spillway.ts";
import { keptStream } from "./load/endpoint.ts";
import { type Flow, flow, type Replay, type Scenario, type Slow, type Timing } from "./scenario.ts";

/** What a run measures, and how often. */
export interface Plan {
  readonly blocks: readonly Block[];
  readonly rounds: number;
  readonly timing: Timing;
}

/** Cells that are measured together: each round goes through all of them, one after another. */
export interface Block {
  readonly name: string;
  /** One or two sentences for the reader of the table. */
  readonly about: string;
  readonly cells: readonly Cell[];
  /** The most rounds; for what takes long and varies little. Default: the run's. */
  readonly rounds?: number;
  /**
   * The scenario that the same contender's other scenarios are compared with. Without it, contenders are
   * compared with their controls in the same scenario.
   */
  readonly baseline?: Scenario;
}

/** One contender in one scenario. */
export interface Cell {
  readonly scenario: Scenario;
  readonly contender: Contender;
}

/** Spillway on the default sockets of each runtime and on native ones, and the bare runtimes. */
const OURS = [spillway("bun", "node"), spillway("node", "node"), spillway("deno", "node")];
const BARE = [bare("bun", "node"), bare("node", "node"), bare("deno", "node")];
const NATIVE = [spillway("bun", "native"), spillway("deno", "native")];
const BARE_NATIVE = [bare("bun", "native"), bare("deno", "native")];
const PEERS = [wsLoop, socketIo];
const FEW = [natsListener, ...OURS];
/** Each bare runtime before ours. */
const PAIRS = BARE.flatMap((one, index) => [one, OURS[index]!]);
const NATIVE_PAIRS = BARE_NATIVE.flatMap((one, index) => [one, NATIVE[index]!]);

/** Saturated is `undefined`. */
const RATES = [1_000, 10_000, 30_000, 60_000, undefined];
/** Loads that leave the core time, 5 s after the clients have connected and right after. */
export const LIGHT_LOADS: readonly Flow[] = [300, 1_000, 3_000, 10_000].flatMap((rate) =>
  [5000, 0].map((warmUpMs) => {
    const name = `${rate.toLocaleString("en")} messages/s, ${warmUpMs > 0 ? "after 5 s" : "at once"}`;
    return flow(100, 128, rate, { name, warmUpMs, measureMs: 2000 });
  }),
);

/** Clients that come back to a stream: to a process that was just started, and to one that has served others. */
export const RETURNS = {
  first: returning(1, { name: "the first comes back", earlier: 0 }),
  one: returning(1, { name: "1 comes back" }),
  consumer: returning(1, { name: "1 comes back, without allow_direct", direct: false }),
  hundred: returning(100, { name: "100 come back" }),
  thousand: returning(1_000, { name: "1,000 come back" }),
} as const;

/** A megabyte per second in 20 subjects, which one client takes too slowly, in some ways. */
export const SLOW = {
  unmarked: slow("conflate, without marks", { settings: { mark_interval: "0s" } }),
  conflate: slow("conflate", {}),
  link: slow("conflate, over 1 Mbit/s with 200 ms", {
    readBytesPerSecond: Number.POSITIVE_INFINITY,
    link: { bitsPerSecond: 1e6, delayMs: 100 },
  }),
  dropOldest: slow("drop-oldest for 120 s", {
    policy: "drop-oldest",
    settings: { max_queue_bytes: 1024 * 1024 },
    lastsMs: 120_000,
    quickMs: 20_000,
  }),
  stopsUnmarked: slow("stops reading, without marks", {
    readBytesPerSecond: 0,
    settings: { mark_interval: "0s" },
  }),
  stops: slow("stops reading", { readBytesPerSecond: 0 }),
} as const;

/** The same load with marks and without. */
export const MARKS = [undefined, 10_000].map((rate) => {
  const { name } = flow(100, 128, rate);
  return [
    flow(100, 128, rate, { name: `${name}, no marks`, settings: { mark_interval: "0s" } }),
    flow(100, 128, rate, { name: `${name}, marks` }),
  ] as const;
});

/** One worker and two, as fast as they can: on one core, and on both with the load client beside them. */
export const WORKERS = [
  [workers(1, 100), workers(2, 100)],
  [workers(1, 1_000), workers(2, 1_000)],
  [workers(1, 1_000, true), workers(2, 1_000, true)],
] as const;

export const GOVERNED_BYTES = 64 * 1024 * 1024;

/** Holds what is in flight when saturated; late acks of a loaded machine don't time out. */
const ACKED = {
  delivery_mode: "at-least-once",
  ack_timeout: "30s",
  max_inflight_messages: 100_000,
  max_inflight_bytes: 64 * 1024 * 1024,
};

/** What each client may receive: all but some subjects, to which nothing is published. */
const DENIED = {
  anonymous: [
    {
      subjects: { allow: ["bench.>"], deny: ["bench.internal.>", "bench.*.secret", "*.private"] },
    },
  ],
};

const EACH_ACKED = { acks: "each", settings: ACKED } as const;

/** The part of each block that a quick run measures: what the goals are about, on Node's sockets. */
const QUICK: Readonly<Record<string, (cell: Cell) => boolean>> = {
  "100 clients, 128 B": ({ scenario, contender }) =>
    contender.role !== "peer" && (scenario as Flow).rate !== 30_000,
  "Light load": ({ scenario }) => (scenario as Flow).rate === 1_000,
  Growth: ({ scenario }) => (scenario as Flow).clients !== 1_000,
  "A stalled reader": () => true,
  // One runtime only, because it takes long.
  "Two hundred stalled readers": ({ contender }) => contender.name === "spillway on node",
  "A slow reader": ({ scenario, contender }) =>
    scenario !== SLOW.unmarked || contender.name === "spillway on node",
  "A reader that stops": () => true,
  "Marks, saturated": () => true,
  "Marks at 1M deliveries/s": () => true,
  "At least once": () => true,
  "Denied subjects": () => true,
  "10,000 idle clients": () => true,
  Start: ({ contender }) => contender.role === "spillway",
};

/**
 * Makes the plan of a run.
 *
 * @param quick one round of the scenarios that the goals are about.
 * @param only words that the names of block, scenario and contender, taken together, must all contain.
 * @param rounds of a run that isn't quick.
 * @param reference the C reference, if it could be compiled.
 */
export function makePlan(
  { quick, only, rounds }: { quick: boolean; only: string; rounds: string },
  reference: Contender | undefined,
): Plan {
  const c = reference === undefined ? [] : [reference];
  const isWanted = ({ name }: Block, cell: Cell): boolean =>
    hasWords(only, `${name} ${cell.scenario.name} ${cell.contender.name}`) &&
    (!quick || (cell.contender.sockets !== "native" && QUICK[name]?.(cell) === true));
  return {
    blocks: fullBlocks(c)
      .map((block) => ({ ...block, cells: block.cells.filter((cell) => isWanted(block, cell)) }))
      .filter(({ cells }) => cells.length > 0),
    rounds: quick ? 1 : Number(rounds),
    timing: { isQuick: quick, warmUpMs: 400, measureMs: 1200 },
  };
}

/** Whether a name contains all of these words. */
export function hasWords(words: string, name: string): boolean {
  const text = name.toLowerCase();
  return words
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

function fullBlocks(c: readonly Contender[]): Block[] {
  // A thousand clients at these rates are several times what one core carries.
  const oursIfOverload = (rate = 0) => (rate >= 30_000 ? OURS : FEW);
  return [
    fanOut(100, 128, (rate) => {
      if (rate === undefined) return [...c, ...PEERS, natsListener, ...PAIRS, ...NATIVE];
      if (rate === 10_000) return [...PEERS, ...FEW, ...NATIVE];
      return rate === 30_000 ? FEW : [...FEW, ...PEERS];
    }),
    fanOut(100, 1024, () => FEW),
    fanOut(1_000, 128, oursIfOverload),
    fanOut(1_000, 1024, oursIfOverload),
    beside(
      "Light load",
      "Messages of 128 B to 100 clients, 5 s after these have connected, and right after.",
      FEW,
      LIGHT_LOADS,
    ),
    against(
      "Flush interval",
      "2,000 messages/s of 128 B to 100 clients. Ratios are to an interval of 0.",
      OURS,
      ["0s", "1ms", "2ms", "5ms", "auto"].map((flush_interval) => {
        const name = `flush_interval ${flush_interval}`;
        return flow(100, 128, 2_000, { name, settings: { flush_interval } });
      }),
    ),
    against(
      "Growth",
      "More clients at the same 100,000 deliveries/s. Ratios are to 100 clients; the growth of C is the kernel's part.",
      [...c, ...OURS],
      [100, 1_000, 10_000].map((clients) => {
        const name = `${clientsOf(clients)}, 100,000 deliveries/s`;
        // At ten messages a second, one more or less counts.
        return flow(clients, 128, 100_000 / clients, { name, measureMs: 2000 });
      }),
    ),
    against(
      "A stalled reader",
      "5,000 messages/s of 1 KiB to 100 clients, one of which stops reading. The figures are those of the others; ratios are to the same load without it.",
      OURS,
      [0, 1].map((stalled) => {
        const name = stalled === 0 ? "all 100 read" : "one of 100 stalls";
        // The kernel takes a second of messages for a stalled reader before the gateway can notice.
        return flow(100, 1024, 5_000, { name, stalled, measureMs: 2500 });
      }),
    ),
    against(
      "Two hundred stalled readers",
      "1,500 messages/s of 1 KiB; max_total_queue_bytes is 64 MiB. The figures are those of the 100 clients that read; ratios are to the same load without the others.",
      FEW,
      [0, 200].map((stalled) => {
        const name = stalled === 0 ? "100 read" : `100 read, ${stalled} stall`;
        const settings = {
          policy: "drop-oldest",
          max_total_queue_bytes: GOVERNED_BYTES,
          write_timeout: "1h",
        };
        // Longer than others, because the kernel takes some megabytes for each stalled reader.
        return flow(100 + stalled, 1024, 1_500, { name, stalled, settings, measureMs: 6000 });
      }),
    ),
    {
      name: "A slow reader",
      about:
        "1,000 messages/s of 1 KiB on 20 subjects; one client reads 50 kB/s, or is behind a link of 1 Mbit/s with a round trip of 200 ms, which a proxy makes. Ages are those of the last 10 s: from the stamp in a message until the client has read it. Without marks, the kernel holds what the gateway has sent; so it does with nats-server.",
      cells: [
        ...cross([SLOW.unmarked], [OURS[1]!]),
        ...cross([SLOW.conflate], [natsListener, ...OURS, spillway("bun", "native")]),
        ...cross([SLOW.link], [natsListener, OURS[1]!]),
        ...cross([SLOW.dropOldest], [...OURS, spillway("bun", "native")]),
      ],
      rounds: 1,
    },
    against(
      "A reader that stops",
      "1,000 messages/s of 1 KiB on 20 subjects; the one client stops reading, and the gateway is asked for `websocket_clients_lagging` until that is 1. Ratios are to a gateway without marks.",
      [...OURS, spillway("bun", "native")],
      [SLOW.stopsUnmarked, SLOW.stops],
    ),
    ...MARKS.map((scenarios, index) =>
      against(
        index === 0 ? "Marks, saturated" : "Marks at 1M deliveries/s",
        "What marks cost: 100 clients, 128 B, with the defaults and with `mark_interval` 0s. Ratios are to the latter.",
        OURS,
        scenarios.map((scenario) => ({ ...scenario, measureMs: 2500 })),
      ),
    ),
    ...WORKERS.map(([one, two]) =>
      against(
        `Two workers, ${one.name.replace("1 worker, ", "")}`,
        one.hasBothCores
          ? "128 B, saturated. The gateway may use the core of the load client and NATS too, so all compete for two cores. Ratios are to one worker."
          : "128 B, saturated. Both workers have one core together, so the ratio of the deliveries shows what the second one costs; on two free cores, it would be twice as high. Ratios are to one worker.",
        OURS,
        [one, two],
      ),
    ),
    against(
      "A subject for each client",
      "100,000 messages/s of 128 B arrive, each for one client. Ratios are to 100 clients.",
      OURS,
      [100, 1_000, 10_000].map((subjects) => {
        const wildcard = subjects === 1_000;
        const name = `${clientsOf(subjects)}, ${wildcard ? "a pattern" : "an exact subject"} each`;
        return flow(subjects, 128, 100_000, { name, subjects, wildcard, measureMs: 1500 });
      }),
    ),
    against(
      "Denied subjects",
      "10,000 messages/s of 128 B to 100 clients, who may receive everything, or everything but three patterns. Ratios are to the former.",
      OURS,
      [{ name: "everything allowed" }, { name: "three patterns denied", settings: DENIED }].map(
        (rest) => flow(100, 128, 10_000, { ...rest, measureMs: 2500 }),
      ),
    ),
    against(
      "At least once",
      "100 clients, 128 B, saturated. Clients of spillway.v1.json acknowledge once per read; plain ones acknowledge each message, as StreamKit's do. Ratios are to at-most-once.",
      OURS,
      [
        { name: "at-most-once", v1: true },
        { name: "at-least-once, all up to one", v1: true, acks: "last", settings: ACKED } as const,
        { name: "at-least-once, each for itself", acks: "each", settings: ACKED } as const,
      ].map((rest) => flow(100, 128, undefined, rest)),
    ),
    against(
      "A thousand clients that acknowledge",
      "128 B to 1,000 clients that acknowledge each message: 1,000 messages/s, each for one client, and 100 messages/s for all. Ratios are to 100,000 deliveries/s at-most-once.",
      OURS,
      [
        { name: "1,000 clients, at-most-once", rate: 100 },
        { name: "1,000 clients, 1,000 acks/s", rate: 1_000, subjects: 1_000, ...EACH_ACKED },
        { name: "1,000 clients, 100,000 acks/s", rate: 100, ...EACH_ACKED },
      ].map((rest) => flow(1_000, 128, rest.rate, { ...rest, measureMs: 1500 })),
    ),
    beside(
      "Several messages in a frame",
      "Clients speak spillway.v1.json: a flush is one frame, also on sockets that can't join frames.",
      [spillway("node", "node"), ...NATIVE],
      [10_000, undefined].map((rate) =>
        flow(100, 128, rate, { name: `v1: ${flow(100, 128, rate).name}`, v1: true }),
      ),
    ),
    against(
      "Compression",
      "100,000 deliveries/s of 1 KiB. Ratios are to 100 compressed clients. The load client doesn't inflate, so compressed messages have no latency.",
      [...OURS, spillway("bun", "native")],
      [true, true, false].map((deflate, index) => {
        const clients = index === 0 ? 100 : 1_000;
        const name = `${clientsOf(clients)}, ${deflate ? "compressed" : "as it is"}`;
        const settings = { compression: deflate, compression_threshold_bytes: 0 };
        return flow(clients, 1024, 100_000 / clients, { name, deflate, settings, measureMs: 1500 });
      }),
    ),
    beside(
      "10,000 idle clients",
      "They connect 100 at a time; then one message of 128 B is sent to all, five times.",
      [...PAIRS, ...NATIVE_PAIRS],
      [{ kind: "crowd", name: "10,000 idle", clients: 10_000, atOnce: 100, messages: 5 }],
    ),
    beside(
      "10,000 idle clients with a subject each",
      "They connect 100 at a time. The difference to the block above is the memory of a client's own filter.",
      OURS,
      [
        {
          kind: "crowd",
          name: "10,000 idle, a subject each",
          clients: 10_000,
          atOnce: 100,
          messages: 0,
          subjects: 10_000,
        },
      ],
    ),
    beside("10,000 clients at once", "All of them connect at the same moment.", FEW, [
      { kind: "crowd", name: "10,000 at once", clients: 10_000, atOnce: 10_000, messages: 0 },
    ]),
    beside(
      "Coming back to a stream",
      "Each client replays 10,000 messages of 256 B from JetStream; with nats-server's listener, by a consumer of its own. The stream has `allow_direct`, but for one row. After the first row, five clients have come back to other streams before. p50 and p99 are those of ten live clients at 500 messages/s during the replay, and before it.",
      FEW,
      Object.values(RETURNS),
    ),
    beside(
      "Start",
      "From the start of the process until it listens and is connected to NATS; then its idle memory.",
      [...FEW, ...NATIVE],
      [{ kind: "start", name: "start" }],
    ),
  ];
}

/** @param contendersAt the contenders at a rate; `undefined` is saturated. */
function fanOut(
  clients: number,
  payloadBytes: number,
  contendersAt: (rate?: number) => readonly Contender[],
): Block {
  return {
    name: flow(clients, payloadBytes).name.replace(/, saturated$/, ""),
    about: "Fan-out from one subject to all clients.",
    cells: RATES.flatMap((rate) => cross([flow(clients, payloadBytes, rate)], contendersAt(rate))),
  };
}

/** A block whose contenders stand beside their controls. */
function beside(
  name: string,
  about: string,
  contenders: readonly Contender[],
  scenarios: readonly Scenario[],
): Block {
  return { name, about, cells: cross(scenarios, contenders) };
}

/** A block whose contenders are compared with themselves in the first scenario. */
function against(...[name, about, contenders, scenarios]: Parameters<typeof beside>): Block {
  const cells = contenders.flatMap((contender) => cross(scenarios, [contender]));
  return { name, about, cells, baseline: scenarios[0]! };
}

function cross(scenarios: readonly Scenario[], contenders: readonly Contender[]): Cell[] {
  return scenarios.flatMap((scenario) => contenders.map((contender) => ({ scenario, contender })));
}

function returning(clients: number, rest: Pick<Replay, "name"> & Partial<Replay>): Replay {
  const scenario = { kind: "replay", messages: 10_000, payloadBytes: 256, v1: true } as const;
  const { earlier = 5 } = rest;
  const streams = Array.from({ length: earlier + 1 }, (_, number) => {
    const { stream, subject } = keptStream(number);
    return `${stream}:${subject}`;
  });
  const settings = { streams, subjects: ["live.>"] };
  return { ...scenario, clients, earlier, direct: true, settings, ...rest };
}

export function workers(count: number, clients: number, hasBothCores = false): Flow {
  const cores = hasBothCores ? "two cores" : "one core";
  const name = `${count === 1 ? "1 worker" : `${count} workers`}, ${clientsOf(clients)}, ${cores}`;
  const settings = { workers: count };
  return flow(clients, 128, undefined, {
    name,
    settings,
    hasBothCores,
    warmUpMs: 3000,
    measureMs: 2500,
  });
}

function slow(name: string, rest: Partial<Slow>): Slow {
  return {
    ...{ kind: "slow", name, policy: "conflate", subjects: 20, changes: 50, payloadBytes: 1024 },
    ...{ readBytesPerSecond: 50_000, lastsMs: 40_000, quickMs: 30_000, v1: true },
    ...rest,
    settings: { policy: "conflate", ...rest.settings },
  };
}

function clientsOf(count: number): string {
  return `${count.toLocaleString("en")} clients`;
}
