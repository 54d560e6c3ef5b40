import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { resultsPage } from "../../bench/report/page.ts";
import { PLOTS, renderPlots } from "../../bench/report/plots.ts";
import { withSpeed } from "../../bench/report/readme.ts";
import { readResults } from "../../bench/results.ts";
import { ROOT } from "../support/runtimes.ts";

const read = (file: string): string => readFileSync(ROOT + file, "utf8");

describe("What the bench found", () => {
  const results = readResults();

  test("is in RESULTS.md as results.json has it", () => {
    expect(read("bench/RESULTS.md")).toBe(resultsPage(results));
  });

  test("is in the README as results.json has it", () => {
    const readme = read("README.md");
    expect(withSpeed(readme, results)).toBe(readme);
  });

  test("is in the plots as results.json has it", () => {
    const plots = renderPlots(results);
    expect(plots.size).toBeGreaterThan(PLOTS.length);
    for (const [file, svg] of plots) expect(read(`bench/plots/${file}`)).toBe(svg);
  });
});
