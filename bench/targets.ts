import { GROWTH, IDLE, STALLED } from "./block-kinds.ts";
import { AT_LEAST_ONCE, COMPRESSION, GOVERNED_BYTES, GOVERNOR, V1 } from "./client-blocks.ts";
import type { RuntimeName } from "./contenders/contender.ts";
import { FIGURES } from "./figures.ts";
import type { Findings } from "./findings.ts";
import type { Spread } from "./summary.ts";

/** A figure that we ask of ourselves: a row of "What we ask" in the design. */
export interface Target {
  readonly asks: string;
  /** The median is to be at least, or at most, so much. */
  readonly bound: "least" | "most";
  readonly goal: number;
  show(value: number): string;
  /** Default: all. */
  readonly runtimes?: readonly RuntimeName[];
  find(findings: Findings, ours: string, bare: string): Spread | undefined;
}

export const RUNTIMES: readonly RuntimeName[] = ["bun", "node", "deno"];

const NATS = "nats-server";
const SATURATED = [100, 128, undefined] as const;
const AT_100K = [100, 128, 1_000] as const;
const AT_1M = [100, 128, 10_000] as const;
const AT_6M = [100, 128, 60_000] as const;

const ratio = (value: number): string => value.toFixed(2);
const share = (value: number): string => `${Number((value * 100).toPrecision(3))} %`;

const atLeast = (goal: number, show: Target["show"]) => ({ bound: "least", goal, show }) as const;
const atMost = (goal: number, show: Target["show"]) => ({ bound: "most", goal, show }) as const;

/** Those of the rows that can be measured by now. */
export const TARGETS: readonly Target[] = [
  {
    asks: "saturated: deliveries/s ÷ bare",
    ...atLeast(0.95, ratio),
    find: (found, ours, bare) =>
      found.ratio(found.flow(...SATURATED), ours, bare, "deliveriesPerSecond"),
  },
  {
    asks: "saturated: CPU per delivery ÷ bare",
    ...atMost(1.05, ratio),
    find: (found, ours, bare) =>
      found.ratio(found.flow(...SATURATED), ours, bare, "cpuUsPerDelivery"),
  },
  {
    asks: "6M/s offered: delivered",
    ...atLeast(0.98, share),
    find: (found, ours) => found.delivered(found.flow(...AT_6M), ours),
  },
  {
    asks: "6M/s offered: p99 ÷ NATS",
    ...atMost(0.1, ratio),
    find: (found, ours) => found.ratio(found.flow(...AT_6M), ours, NATS, "p99Us"),
  },
  {
    asks: "100k/s: CPU per delivery ÷ NATS",
    ...atMost(0.5, ratio),
    find: (found, ours) => found.ratio(found.flow(...AT_100K), ours, NATS, "cpuUsPerDelivery"),
  },
  {
    asks: "1M/s: CPU per delivery ÷ NATS",
    ...atMost(0.5, ratio),
    find: (found, ours) => found.ratio(found.flow(...AT_1M), ours, NATS, "cpuUsPerDelivery"),
  },
  {
    asks: "100k/s: p50",
    ...atMost(1500, FIGURES.p50Us.show),
    find: (found, ours) => found.value(found.flow(...AT_100K), ours, "p50Us"),
  },
  {
    asks: "1M/s: p50",
    ...atMost(1500, FIGURES.p50Us.show),
    find: (found, ours) => found.value(found.flow(...AT_1M), ours, "p50Us"),
  },
  {
    asks: "100k/s: p50 ÷ NATS",
    ...atMost(0.7, ratio),
    find: (found, ours) => found.ratio(found.flow(...AT_100K), ours, NATS, "p50Us"),
  },
  {
    asks: "100k/s: p99 ÷ NATS",
    ...atMost(0.7, ratio),
    find: (found, ours) => found.ratio(found.flow(...AT_100K), ours, NATS, "p99Us"),
  },
  {
    asks: "10,000 clients ÷ 100: CPU per delivery",
    ...atMost(1.6, ratio),
    find: (found, ours) => found.change(GROWTH, ours, "cpuUsPerDelivery"),
  },
  {
    asks: "idle memory per connection ÷ bare",
    ...atMost(1.4, ratio),
    find: (found, ours, bare) => found.ratio(IDLE.name, ours, bare, "bytesPerConnection"),
  },
  {
    asks: "idle memory per connection",
    ...atMost(4000, FIGURES.bytesPerConnection.show),
    runtimes: ["bun"],
    find: (found, ours) => found.value(IDLE.name, ours, "bytesPerConnection"),
  },
  {
    asks: "one stalled reader: others' p99 ÷ without",
    ...atMost(1.1, ratio),
    find: (found, ours) => found.change(STALLED, ours, "p99Us"),
  },
  {
    asks: "200 stalled readers: others' p99 ÷ without",
    ...atMost(2, ratio),
    find: (found, ours) => found.change(GOVERNOR, ours, "p99Us"),
  },
  {
    asks: "200 stalled readers: memory beyond that without ÷ max_total_queue_bytes",
    ...atMost(1.2, ratio),
    find: (found, ours) => found.growth(GOVERNOR, ours, "rssBytes", GOVERNED_BYTES),
  },
  {
    asks: "at-least-once ÷ at-most-once, saturated: deliveries/s",
    ...atLeast(0.5, ratio),
    find: (found, ours) => found.second(AT_LEAST_ONCE, ours, "deliveriesPerSecond"),
  },
  {
    asks: "compressed, 1,000 clients ÷ 100: CPU per delivery",
    ...atMost(1.3, ratio),
    find: (found, ours) => found.second(COMPRESSION, ours, "cpuUsPerDelivery"),
  },
  {
    asks: "native sockets, spillway.v1.json, saturated: deliveries/s",
    ...atLeast(1_000_000, FIGURES.deliveriesPerSecond.show),
    runtimes: ["deno"],
    find: (found, ours) => found.last(V1, `${ours}, native`, "deliveriesPerSecond"),
  },
];

/** What came of a target on one runtime. */
export interface Verdict {
  readonly spread: Spread;
  readonly reached: boolean;
  /** By what part of the goal the median misses it; 0 where it is reached. */
  readonly missedBy: number;
}

/** `undefined` where it is not asked of this runtime, or was not measured. */
export function judge(
  target: Target,
  findings: Findings,
  runtime: RuntimeName,
): Verdict | undefined {
  if (target.runtimes?.includes(runtime) === false) return undefined;
  const spread = target.find(findings, `spillway on ${runtime}`, `bare ${runtime}`);
  return spread === undefined ? undefined : verdict(target, spread);
}

export function verdict({ bound, goal }: Pick<Target, "bound" | "goal">, spread: Spread): Verdict {
  const { median } = spread;
  const reached = bound === "least" ? median >= goal : median <= goal;
  return { spread, reached, missedBy: reached ? 0 : Math.abs(median / goal - 1) };
}
