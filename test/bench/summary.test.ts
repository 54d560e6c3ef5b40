import { describe, expect, test } from "bun:test";
import type { Contender } from "../../bench/contenders/contender.ts";
import { find, missedBy } from "../../bench/goals.ts";
import type { Block, Cell } from "../../bench/plan.ts";
import { flow } from "../../bench/scenario.ts";
import {
  figureOf,
  type Measurement,
  type Outcome,
  ratioOf,
  spread,
  summarize,
} from "../../bench/summary.ts";

const never = () => Promise.reject(new Error("no test starts this"));
const nats: Contender = { name: "nats-server", role: "nats", start: never };
const ours: Contender = {
  name: "spillway on node",
  role: "spillway",
  runtime: "node",
  sockets: "node",
  start: never,
};
const bareNode: Contender = { ...ours, name: "bare node", role: "bare" };
const bareBun: Contender = { ...bareNode, name: "bare bun", runtime: "bun" };
const few = flow(100, 128, 1_000);
const many = flow(10_000, 128, 10);

const p99 = (p99Us: number): Measurement => ({ figures: { p99Us } });

/** Summarizes a block from the rounds of each cell. */
function outcomeOf(
  rows: readonly (readonly [Cell, readonly Measurement[]])[],
  rest: Partial<Block> = {},
): Outcome {
  const cells = rows.map(([cell]) => cell);
  return summarize({ name: "a block", about: "", cells, ...rest }, new Map(rows));
}

describe("spread", () => {
  test("has the middle of an odd number of values, and the ends", () => {
    expect(spread([10, 9, 100])).toEqual({ median: 10, least: 9, most: 100 });
  });

  test("has the mean of the two in the middle of an even number", () => {
    expect(spread([4, 1, 3, 2])?.median).toBe(2.5);
  });
});

describe("summarize", () => {
  test("takes ratios within a round", () => {
    const { rows } = outcomeOf([
      [{ scenario: few, contender: nats }, [p99(100), p99(1000)]],
      [{ scenario: few, contender: ours }, [p99(50), p99(500)]],
    ]);
    const [control, row] = rows;
    expect(row!.controls).toEqual([control!]);
    expect(ratioOf(row!, control!, "p99Us")).toEqual({ median: 0.5, least: 0.5, most: 0.5 });
  });

  test("does not compare with another runtime", () => {
    const { rows } = outcomeOf([
      [{ scenario: few, contender: bareBun }, [p99(100)]],
      [{ scenario: few, contender: ours }, [p99(50)]],
    ]);
    expect(rows[1]!.controls).toEqual([]);
  });

  test("compares a contender with itself if there is a baseline", () => {
    const { rows } = outcomeOf(
      [few, many].map((scenario) => [{ scenario, contender: ours }, [p99(100)]] as const),
      { baseline: few },
    );
    expect(rows.map(({ controls }) => controls)).toEqual([[], [rows[0]!]]);
  });

  test("keeps a round that failed out of the figures and in the rounds", () => {
    const failed: Measurement = { figures: {}, failure: "it fell over" };
    const { rows } = outcomeOf([
      [{ scenario: few, contender: ours }, [p99(100), failed, p99(300)]],
    ]);
    expect(figureOf(rows[0]!, "p99Us")).toEqual({ median: 200, least: 100, most: 300 });
    expect(rows[0]!.rounds).toContain(failed);
  });
});

describe("find", () => {
  const { rows, ...about } = outcomeOf([
    [{ scenario: few, contender: nats }, [p99(100)]],
    [{ scenario: few, contender: bareNode }, [p99(10)]],
    [{ scenario: few, contender: ours }, [p99(50)]],
  ]);
  const asked = { scenario: few.name, figure: "p99Us" } as const;
  const outcomes = [{ rows, ...about }];

  test("finds a figure, and its ratios to nats-server and to the bare runtime", () => {
    const found = [undefined, "nats-server", "bare"].map(
      (to) => find(outcomes, { ...asked, ...(to && { to }) }, "node")?.median,
    );
    expect(found).toEqual([50, 0.5, 5]);
  });

  test("finds nothing on a runtime that was not measured or not asked for", () => {
    expect(find(outcomes, asked, "bun")).toBeUndefined();
    expect(find(outcomes, { ...asked, runtime: "bun" }, "node")).toBeUndefined();
  });

  test("finds the growth of a figure from its baseline, in a unit", () => {
    const rss = (rssBytes: number): Measurement => ({ figures: { rssBytes } });
    const outcome = outcomeOf(
      [
        [{ scenario: few, contender: ours }, [rss(1000), rss(2000)]],
        [{ scenario: many, contender: ours }, [rss(3000), rss(4000)]],
      ],
      { baseline: few },
    );
    const growth = {
      scenario: many.name,
      figure: "rssBytes",
      to: few.name,
      unitBytes: 100,
    } as const;
    expect(find([outcome], growth, "node")?.median).toBe(20);
  });
});

describe("missedBy", () => {
  test("is 0 from a least figure on", () => {
    expect(missedBy({ bound: "≥", goal: 0.95 }, 0.95)).toBe(0);
    expect(missedBy({ bound: "≥", goal: 0.95 }, 0.949)).toBeGreaterThan(0);
  });

  test("is the part of the goal by which a figure misses it", () => {
    expect(missedBy({ bound: "≤", goal: 1.6 }, 2)).toBeCloseTo(0.25);
    expect(missedBy({ bound: "≤", goal: 1.6 }, 1.2)).toBe(0);
  });
});
