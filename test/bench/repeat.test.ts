import { describe, expect, test } from "bun:test";
import { repeatOf, statedSpreads } from "../../bench/repeat.ts";
import type { Results } from "../../bench/results.ts";
import { type Outcome, spread } from "../../bench/summary.ts";

/** A run of two contenders in each scenario, of which the second one always has 1. */
function run(ratios: readonly (readonly number[])[]): Results {
  const outcomes = ratios.map((rounds, index): Outcome => {
    const place = (contender: string) => ({ scenario: `scenario ${index}`, contender });
    const row = (contender: string, values: readonly number[]) => ({
      ...place(contender),
      figures: { p50Us: spread(values) },
      rounds: values.map((p50Us) => ({ figures: { p50Us }, cpuShares: {}, failed: undefined })),
    });
    return {
      name: `block ${index}`,
      about: "",
      scenarios: [],
      rows: [
        row("ours", rounds),
        row(
          "control",
          rounds.map(() => 1),
        ),
      ] as never,
      comparisons: [{ of: place("ours"), to: place("control"), ratios: { p50Us: spread(rounds) } }],
    };
  });
  return { date: "2026-01-01T00:00:00Z", outcomes } as unknown as Results;
}

/** Three rounds of each of many cells, some much noisier than others, and always the same (mulberry32). */
function noisyRun(seed: number): Results {
  let state = seed;
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), 61 | bits);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
  const normal = (): number =>
    Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  const cells = Array.from({ length: 2000 }, (_, cell) => {
    const deviation = 0.05 * 2 ** (cell % 4);
    return Array.from({ length: 3 }, () => Math.exp(deviation * normal()));
  });
  return run(cells);
}

describe("The spread of ratios", () => {
  test("is what 95 % of all rounds lie within, whichever cell they are of", () => {
    // One of 30 is far away, and two of them are at a distance of 1.25.
    const calm = Array.from({ length: 9 }, () => [1, 1, 1]);
    expect(statedSpreads(run([...calm, [2, 2.5, 20]]).outcomes)).toEqual([
      { figure: "p50Us", rounds: 30, factor: 1.25 },
    ]);
  });

  test("can't be told from one round", () => {
    expect(statedSpreads(run([[2]]).outcomes)).toEqual([]);
  });

  test("leaves one in twenty of a second run's medians outside when nothing but chance differs", () => {
    const [compared] = repeatOf(noisyRun(1), noisyRun(2)).figures;
    const within = compared!.within / compared!.of;
    expect(within).toBeGreaterThan(0.93);
    expect(within).toBeLessThan(0.97);
  });

  test("holds for a second run, or the ratios that left it are named", () => {
    const first = run([
      [1, 2, 4],
      [10, 20, 40],
    ]);
    const second = run([
      [1, 3.9, 4],
      [9, 9, 9],
    ]);
    const { date, secondDate, figures, outliers } = repeatOf(first, second);
    expect([date, secondDate]).toEqual([first.date, second.date]);
    expect(figures).toEqual([{ figure: "p50Us", rounds: 6, factor: 2, within: 1, of: 2 }]);
    expect(outliers).toMatchObject([{ of: { scenario: "scenario 1" }, first: 20, second: 9 }]);
  });

  test("says nothing of what only one of the runs has", () => {
    const { figures, outliers } = repeatOf(run([[1, 2, 4]]), run([]));
    expect(figures).toMatchObject([{ within: 0, of: 0 }]);
    expect(outliers).toEqual([]);
  });
});
