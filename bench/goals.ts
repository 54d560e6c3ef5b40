import type { RuntimeName } from "./contenders/contender.ts";
import { FIGURES, type Figure } from "./figures.ts";
import { GOVERNED_BYTES, LIGHT_LOADS, MARKS, RETURNS, SLOW, WORKERS } from "./plan.ts";
import { flow } from "./scenario.ts";
import { figureOf, type Outcome, type Row, ratioOf, type Spread, spread } from "./summary.ts";

/** A figure of Spillway's, by names, or its ratio to another one. */
export interface Asked {
  readonly scenario: string;
  readonly figure: Figure;
  /** The name of the control that the figure is divided by: a contender or a scenario. */
  readonly to?: string;
  /** The figure is its growth from the scenario `to`, divided by this many bytes. */
  readonly unitBytes?: number;
  /** Default: all. */
  readonly runtime?: RuntimeName;
  readonly isNative?: true;
}

/** A goal for Spillway: the median is to be at least (`≥`), or at most, this. */
export interface Goal extends Asked {
  readonly asks: string;
  readonly bound: "≥" | "≤";
  readonly goal: number;
}

export const RUNTIMES: readonly RuntimeName[] = ["bun", "node", "deno"];

export const SATURATED = flow(100, 128).name;
export const AT_1M = flow(100, 128, 10_000).name;
export const AT_6M = flow(100, 128, 60_000).name;
export const NATS = "nats-server";
/** The bare runtime of the gateway's. */
export const BARE = "bare";

const CROWD = "10,000 clients, 100,000 deliveries/s";
const FEW = "100 clients, 100,000 deliveries/s";
const IDLE = "10,000 idle";
const STALLED = "one of 100 stalls";
const GOVERNED = "100 read, 200 stall";
const ACKED = "at-least-once, all up to one";
const MANY = "1,000 clients, compressed";
const SOME = "100 clients, compressed";
const GROWTH = { unitBytes: GOVERNED_BYTES };
const ON_BUN = { runtime: "bun" } as const;
const NATIVE = { runtime: "deno", isNative: true } as const;

type Rest = Pick<Asked, "unitBytes" | "runtime" | "isNative">;
type GoalRow = [string, Goal["bound"], number, string, Figure, (string | undefined)?, Rest?];

const ROWS: readonly GoalRow[] = [
  ["saturated: deliveries/s ÷ bare", "≥", 0.95, SATURATED, "deliveriesPerSecond", BARE],
  ["saturated: CPU per delivery ÷ bare", "≤", 1.05, SATURATED, "cpuUsPerDelivery", BARE],
  ["6M/s offered: delivered", "≥", 0.98, AT_6M, "delivered"],
  ["6M/s offered: p99 ÷ NATS", "≤", 0.1, AT_6M, "p99Us", NATS],
  ...lightLoad(),
  ...comingBack(),
  ["10,000 clients ÷ 100: CPU per delivery", "≤", 1.6, CROWD, "cpuUsPerDelivery", FEW],
  ["idle memory per connection ÷ bare", "≤", 1.4, IDLE, "bytesPerConnection", BARE],
  ["idle memory per connection", "≤", 4000, IDLE, "bytesPerConnection", undefined, ON_BUN],
  ["one stalled reader: others' p99 ÷ without", "≤", 1.1, STALLED, "p99Us", "all 100 read"],
  ["200 stalled readers: others' p99 ÷ without", "≤", 2, GOVERNED, "p99Us", "100 read"],
  ["50 kB/s, conflate: age of what it sees, at most", "≤", 1500, SLOW.conflate.name, "ageMaxMs"],
  ["50 kB/s, drop-oldest: received or declared", "≥", 1, SLOW.dropOldest.name, "accounted"],
  ["1 Mbit/s with 200 ms, conflate: age, at most", "≤", 1500, SLOW.link.name, "ageMaxMs"],
  ["a reader that stops at 1 MB/s: known to lag after", "≤", 2500, SLOW.stops.name, "knownMs"],
  ...costOfMarks(),
  [
    "200 stalled readers: growth ÷ max_total_queue_bytes",
    "≤",
    1.2,
    GOVERNED,
    "rssBytes",
    "100 read",
    GROWTH,
  ],
  [
    "at-least-once ÷ at-most-once: deliveries/s",
    "≥",
    0.5,
    ACKED,
    "deliveriesPerSecond",
    "at-most-once",
  ],
  [
    "three patterns denied ÷ none: CPU per delivery",
    "≤",
    1.03,
    "three patterns denied",
    "cpuUsPerDelivery",
    "everything allowed",
  ],
  ...severalWorkers(),
  ["compressed, 1,000 clients ÷ 100: CPU per delivery", "≤", 1.3, MANY, "cpuUsPerDelivery", SOME],
  [
    "native sockets, v1: deliveries/s",
    "≥",
    1e6,
    `v1: ${SATURATED}`,
    "deliveriesPerSecond",
    undefined,
    NATIVE,
  ],
];

/** Two workers ÷ one: 0.9 on one core is 1.8 on two. The load client needs one of two cores. */
function severalWorkers(): GoalRow[] {
  return WORKERS.map(([one, two]): GoalRow => {
    const goal = one.hasBothCores ? 1.8 : 0.9;
    const asks = `two workers ÷ one, ${one.name.replace("1 worker, ", "")}: deliveries/s`;
    return [asks, "≥", goal, two.name, "deliveriesPerSecond", one.name];
  });
}

/** Goals at loads that leave the core time: against nats-server, warm and just started. */
function lightLoad(): GoalRow[] {
  const figures = [
    ["p50", "p50Us"],
    ["p99", "p99Us"],
    ["CPU per delivery", "cpuUsPerDelivery"],
  ] as const;
  return LIGHT_LOADS.flatMap(({ name, rate, warmUpMs }): GoalRow[] => {
    if (warmUpMs === 0) return [[`${name}: p99 ÷ NATS`, "≤", 1.2, name, "p99Us", NATS]];
    return figures
      .filter(([, figure]) => figure !== "cpuUsPerDelivery" || (rate ?? 0) >= 1000)
      .map(([word, figure]) => [`${name}: ${word} ÷ NATS`, "≤", 0.8, name, figure, NATS]);
  });
}

/** Goals for the same load with marks and without. */
function costOfMarks(): GoalRow[] {
  return MARKS.flatMap(([without, { name, rate }]): GoalRow[] => {
    const to = without.name;
    const cpu: GoalRow = [
      `${name} ÷ none: CPU per delivery`,
      "≤",
      1.03,
      name,
      "cpuUsPerDelivery",
      to,
    ];
    if (rate !== undefined) return [cpu];
    return [[`${name} ÷ none: deliveries/s`, "≥", 0.98, name, "deliveriesPerSecond", to], cpu];
  });
}

/** Goals for clients that replay a stream, against consumers of nats-server's. */
function comingBack(): GoalRow[] {
  const { thousand, hundred, ...few } = RETURNS;
  const rows = [...Object.values(few).map((one) => [one, 1.5] as const), [thousand, 0.33] as const];
  return rows.map(([{ name }, goal]) => [
    `${name}: time ÷ NATS`,
    "≤",
    goal,
    name,
    "caughtUpMs",
    NATS,
  ]);
}

export const GOALS = ROWS.map(
  ([asks, bound, goal, scenario, figure, to, rest]): Goal => ({
    ...{ asks, bound, goal, scenario, figure, ...rest },
    ...(to !== undefined && { to }),
  }),
);

/** Finds what is asked for; `undefined` if it isn't asked of this runtime or wasn't measured. */
export function find(
  outcomes: readonly Outcome[],
  { scenario, figure, to, unitBytes, ...asked }: Asked,
  runtime: RuntimeName,
): Spread | undefined {
  if (asked.runtime !== undefined && asked.runtime !== runtime) return undefined;
  const name = `spillway on ${runtime}${asked.isNative ? ", native" : ""}`;
  const row = outcomes
    .flatMap(({ rows }) => rows)
    .find((row) => row.scenario.name === scenario && row.contender.name === name);
  if (row === undefined) return undefined;
  if (to === undefined) return figureOf(row, figure);
  const wanted = to === BARE ? `bare ${runtime}` : to;
  const control = row.controls.find((one) => controlName(row, one) === wanted);
  if (control === undefined) return undefined;
  if (unitBytes === undefined) return ratioOf(row, control, figure);
  const grown = row.rounds.map(({ figures }, round) => {
    const [after, before] = [figures[figure], control.rounds[round]?.figures[figure]];
    return after && before && (after - before) / unitBytes;
  });
  return spread(grown);
}

/** Writes a value as what it is: a figure or a ratio. */
export function showValue({ figure, to }: Asked, value: number): string {
  return to === undefined ? FIGURES[figure].show(value) : value.toFixed(2);
}

/** Returns by what part of the goal a median misses it; 0 if it is reached. */
export function missedBy({ bound, goal }: Pick<Goal, "bound" | "goal">, median: number): number {
  const isReached = bound === "≥" ? median >= goal : median <= goal;
  return isReached ? 0 : Math.abs(median / goal - 1);
}

/** Names a control: by its contender, or by its scenario if a contender is compared with itself. */
export function controlName(row: Row, { scenario, contender }: Row): string {
  return contender.name === row.contender.name ? scenario.name : contender.name;
}
