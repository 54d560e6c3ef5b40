import { describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { FIGURES } from "../../bench/figures.ts";
import { BARE, RUNTIMES } from "../../bench/goals.ts";
import { PLOTS, SLOW_CLIENT_PLOT } from "../../bench/plots.ts";
import { limitOf, outcomeSection, SPEED_ROWS, withSpread } from "../../bench/report.ts";
import { flow } from "../../bench/scenario.ts";
import type { Row } from "../../bench/summary.ts";
import { ROOT } from "../support/runtimes.ts";

const MOST_COMMITTED_BYTES = 78_000;

const read = (file: string): string => readFileSync(ROOT + file, "utf8");

/** Returns the cells of each row of a Markdown table, its rule left out. */
function cellsOf(text: string): string[][] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("|") && !/^[|\s:-]+$/.test(line))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

/** Returns what `RESULTS.md` says in a scenario of a row, or of the ratio to a control below it, by column. */
function resultOf(scenario: string, contender: string, control?: string): Record<string, string> {
  const section = read("bench/RESULTS.md").split(`### ${scenario}\n`)[1]!.split("\n#")[0]!;
  const [titles, ...rows] = cellsOf(section);
  const at = rows.findIndex(([name]) => name === contender);
  const below = rows.findIndex(([name], index) => index > at && name === `… ÷ ${control}`);
  const cells = rows[control === undefined ? at : below];
  return Object.fromEntries(titles!.map((title, column) => [title, cells?.[column] ?? ""]));
}

describe("What the bench found", () => {
  test("is in the README as RESULTS.md has it", () => {
    const speed = /<!-- speed:[^>]*-->([\s\S]*)<!-- \/speed -->/.exec(read("README.md"))?.[1] ?? "";
    const found = SPEED_ROWS.map(([title, scenario, figures, to]) => [
      title,
      ...RUNTIMES.map((runtime) => {
        const control = to === BARE ? `bare ${runtime}` : to;
        const result = resultOf(scenario, `spillway on ${runtime}`, control);
        return figures.map((figure) => result[FIGURES[figure].title]).join(", ");
      }),
    ]);
    expect(cellsOf(speed).slice(1)).toEqual(found);
  });

  test("has all plots, and is small", () => {
    const files = readdirSync(`${ROOT}bench/plots`).map((file) => `plots/${file}`);
    const drawn = [...PLOTS, SLOW_CLIENT_PLOT].map(({ file }) => `plots/${file}`);
    expect(files.toSorted()).toEqual(drawn.toSorted());
    const sizes = [...files, "RESULTS.md"].map((file) => statSync(`${ROOT}bench/${file}`).size);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(MOST_COMMITTED_BYTES);
  });
});

const contender = {
  name: "spillway on node",
  role: "spillway",
  start: () => Promise.reject(),
} as const;
const rowWith = (round: Row["rounds"][number]): Row => ({
  ...{ scenario: flow(100, 128), contender, controls: [] },
  rounds: [round],
});

describe("outcomeSection", () => {
  test("has a row of figures, and below it the ratios to its controls", () => {
    const control = rowWith({ figures: { p50Us: 500 } });
    const bare = { ...control, contender: { ...contender, name: "bare node" } };
    const row = { ...rowWith({ figures: { p50Us: 1000 }, complete: true }), controls: [bare] };
    const [titles, ours, ratio] = cellsOf(
      outcomeSection({ name: "a block", about: "", rows: [row] }),
    );
    expect([titles![2], ours![2], ratio![2]]).toEqual(["p50", "1.0 ms", "2.00"]);
    expect(ratio![0]).toBe("… ÷ bare node");
  });

  test("says why a contender failed, and how many clients were lost", () => {
    const rounds = [
      { figures: {}, failure: "it fell over" },
      { figures: {}, lostClients: 3 },
    ];
    const row = { ...rowWith({ figures: {} }), rounds };
    expect(outcomeSection({ name: "a block", about: "", rows: [row] })).toContain(
      "spillway on node (failed 1 times: it fell over; 3 clients lost)",
    );
  });
});

describe("limitOf", () => {
  const limitWith = (cpuShares: { gateway: number; load: number }): string =>
    limitOf(rowWith({ figures: {}, cpuShares }));

  test("is the gateway if its core is full", () => {
    expect(limitWith({ gateway: 0.95, load: 0.9 })).toBe("gateway");
  });

  test("is the load client if all on its core fill it together", () => {
    expect(limitWith({ gateway: 0.7, load: 0.94 })).toBe("load client");
  });

  test("is neither if both cores have time", () => {
    expect(limitWith({ gateway: 0.5, load: 0.5 })).toBe("neither");
  });
});

describe("withSpread", () => {
  test("writes a unit once", () => {
    const ms = (value: number): string => `${value} ms`;
    expect(withSpread({ median: 2, least: 1, most: 3 }, ms)).toBe("2 ms (1–3 ms)");
    expect(withSpread({ median: 2, least: 2, most: 2 }, ms)).toBe("2 ms");
  });
});
