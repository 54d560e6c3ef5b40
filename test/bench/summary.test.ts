import { describe, expect, test } from "bun:test";
import type { Contender } from "../../bench/contenders/contender.ts";
import { Findings } from "../../bench/findings.ts";
import { limitOf } from "../../bench/limit.ts";
import { failed, type Measurement } from "../../bench/measure/measurement.ts";
import { Repeater } from "../../bench/noise.ts";
import type { Block, Cell } from "../../bench/plan.ts";
import { withSpread } from "../../bench/report/table.ts";
import { flow } from "../../bench/scenario.ts";
import { type Round, spread, summarize } from "../../bench/summary.ts";
import { verdict } from "../../bench/targets.ts";

const never = () => Promise.reject(new Error("nobody starts this"));
const nats: Contender = { name: "nats-server", role: "nats", start: never };
const ours: Contender = {
  name: "spillway on node",
  role: "spillway",
  runtime: "node",
  sockets: "node",
  start: never,
};
const bareBun: Contender = { ...ours, name: "bare bun", role: "bare", runtime: "bun" };
const few = flow(100, 128, 1_000);
const many = flow(10_000, 128, 10);

function taken(p99Us: number, rest: Partial<Measurement> = {}): Measurement {
  return { figures: { p99Us }, cpuShares: {}, stealShare: 0, lostClients: 0, ...rest };
}

function block(cells: readonly Cell[], rest: Partial<Block> = {}): Block {
  return { name: "a block", about: "", cells, ...rest };
}

/** Rounds of one block, by what was measured in each of its cells. */
function roundsOf(cells: readonly Cell[], ...rounds: readonly Measurement[][]): Round[] {
  return rounds.map((measured) => new Map(cells.map((cell, index) => [cell, measured[index]!])));
}

describe("spread", () => {
  test("has the middle of an odd number of values, and the ends", () => {
    expect(spread([10, 9, 100])).toEqual({ median: 10, least: 9, most: 100 });
  });

  test("has the mean of the two in the middle of an even number", () => {
    expect(spread([4, 1, 3, 2]).median).toBe(2.5);
  });
});

describe("summarize", () => {
  test("takes ratios within a round", () => {
    const cells = [nats, ours].map((contender) => ({ scenario: few, contender }));
    const rounds = roundsOf(cells, [taken(100), taken(50)], [taken(1000), taken(500)]);
    expect(summarize(block(cells), rounds).comparisons).toEqual([
      {
        of: { scenario: few.name, contender: "spillway on node" },
        to: { scenario: few.name, contender: "nats-server" },
        ratios: { p99Us: { median: 0.5, least: 0.5, most: 0.5 } },
      },
    ]);
  });

  test("does not compare with another runtime", () => {
    const cells = [bareBun, ours].map((contender) => ({ scenario: few, contender }));
    const rounds = roundsOf(cells, [taken(100), taken(50)]);
    expect(summarize(block(cells), rounds).comparisons).toEqual([]);
  });

  test("compares a contender with itself where there is a baseline", () => {
    const cells = [few, many].map((scenario) => ({ scenario, contender: ours }));
    const rounds = roundsOf(cells, [taken(100), taken(150)]);
    const { comparisons } = summarize(block(cells, { baseline: few }), rounds);
    expect(comparisons.map(({ of, to, ratios }) => [of.scenario, to.scenario, ratios])).toEqual([
      [many.name, few.name, { p99Us: { median: 1.5, least: 1.5, most: 1.5 } }],
    ]);
  });

  test("keeps a round that failed out of the figures and in the rounds", () => {
    const cells = [{ scenario: few, contender: ours }];
    const rounds = roundsOf(cells, [taken(100)], [failed("it fell over")], [taken(300)]);
    const [row] = summarize(block(cells), rounds).rows;
    expect(row?.figures.p99Us).toEqual({ median: 200, least: 100, most: 300 });
    expect(row?.rounds[1]?.failure).toBe("it fell over");
  });
});

describe("Findings", () => {
  test("counts as delivered what came in time, though the rest came later", () => {
    const cells = [{ scenario: few, contender: ours }];
    const late = taken(1, { delivered: { share: 0.8, complete: true } });
    const findings = new Findings([summarize(block(cells), roundsOf(cells, [late]))]);
    expect(findings.delivered(findings.flow(100, 128, 1_000), ours.name)?.median).toBe(0.8);
  });
});

describe("verdict", () => {
  const one = (value: number) => spread([value]);

  test("reaches a least figure from it on", () => {
    const target = { bound: "least", goal: 0.95 } as const;
    expect(verdict(target, one(0.95)).reached).toBe(true);
    expect(verdict(target, one(0.949)).reached).toBe(false);
  });

  test("says by what part of the goal it is missed", () => {
    const target = { bound: "most", goal: 1.6 } as const;
    expect(verdict(target, one(2)).missedBy).toBeCloseTo(0.25);
    expect(verdict(target, one(1.2)).missedBy).toBe(0);
  });
});

describe("limitOf", () => {
  const row = (cpuShares: Record<string, number>) => ({
    scenario: few.name,
    contender: ours.name,
    figures: {},
    rounds: [taken(1, { cpuShares })],
  });

  test("is the gateway where its core is full", () => {
    expect(limitOf(row({ gateway: 0.95, load: 0.9 }))).toBe("gateway");
  });

  test("is the load client where all on its core fill it together", () => {
    expect(limitOf(row({ gateway: 0.7, load: 0.8, nats: 0.07, publisher: 0.07 }))).toBe(
      "load client",
    );
  });

  test("is nobody known where both cores have time", () => {
    expect(limitOf(row({ gateway: 0.5, load: 0.5 }))).toBe("neither");
  });
});

describe("Repeater", () => {
  const noisy = taken(1, { cpuShares: { others: 0.5 } });
  const calm = taken(2, { cpuShares: { others: 0.01 } });

  test("takes the first measurement that nothing disturbed", async () => {
    const coming = [noisy, calm, noisy];
    const repeater = new Repeater(10);
    expect(await repeater.measure(async () => coming.shift()!)).toBe(calm);
    expect(repeater.repeated).toBe(1);
  });

  test("takes the least noisy one when all are", async () => {
    const coming = [0.5, 0.2, 0.9].map((others) => taken(others, { cpuShares: { others } }));
    const best = await new Repeater(10).measure(async () => coming.shift()!);
    expect(best.cpuShares.others).toBe(0.2);
  });

  test("repeats nothing more when the run has no time left for it", async () => {
    const repeater = new Repeater(1);
    await repeater.measure(async () => noisy);
    await repeater.measure(async () => noisy);
    expect(repeater.repeated).toBe(1);
  });
});

describe("withSpread", () => {
  test("writes a unit once", () => {
    const ms = (value: number): string => `${value} ms`;
    expect(withSpread(spread([2, 1, 3]), ms)).toBe("2 ms (1–3 ms)");
    expect(withSpread(spread([2]), ms)).toBe("2 ms");
  });
});
