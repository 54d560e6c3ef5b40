import type { RuntimeName } from "./contenders/contender.ts";
import { FIGURES, type Figure } from "./figures.ts";
import { GOVERNED_BYTES } from "./plan.ts";
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
const AT_100K = flow(100, 128, 1_000).name;
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
  ["100k/s: CPU per delivery ÷ NATS", "≤", 0.5, AT_100K, "cpuUsPerDelivery", NATS],
  ["1M/s: CPU per delivery ÷ NATS", "≤", 0.5, AT_1M, "cpuUsPerDelivery", NATS],
  ["100k/s: p50", "≤", 1500, AT_100K, "p50Us"],
  ["1M/s: p50", "≤", 1500, AT_1M, "p50Us"],
  ["100k/s: p50 ÷ NATS", "≤", 0.7, AT_100K, "p50Us", NATS],
  ["100k/s: p99 ÷ NATS", "≤", 0.7, AT_100K, "p99Us", NATS],
  ["10,000 clients ÷ 100: CPU per delivery", "≤", 1.6, CROWD, "cpuUsPerDelivery", FEW],
  ["idle memory per connection ÷ bare", "≤", 1.4, IDLE, "bytesPerConnection", BARE],
  ["idle memory per connection", "≤", 4000, IDLE, "bytesPerConnection", undefined, ON_BUN],
  ["one stalled reader: others' p99 ÷ without", "≤", 1.1, STALLED, "p99Us", "all 100 read"],
  ["200 stalled readers: others' p99 ÷ without", "≤", 2, GOVERNED, "p99Us", "100 read"],
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
