import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { allJobs, NAMED_FILES, testFiles } from "./jobs.ts";

describe("The jobs", () => {
  const fast = allJobs(false);
  const slow = allJobs(true);

  test.each([...NAMED_FILES])("name %s, which exists", (file) => {
    expect(existsSync(file)).toBe(true);
  });

  test("run each test file whole, at once or in two halves by runtime", () => {
    for (const file of testFiles()) {
      const ofFile = (jobs: typeof fast) => jobs.filter(({ files }) => files.includes(file));
      const isWhole = ({ args, env }: (typeof fast)[number]) =>
        args.length === 0 && Object.keys(env).length === 0;
      const halves = [...ofFile(fast), ...ofFile(slow)].filter(({ args }) =>
        args[1]?.includes("node22"),
      );
      const whole = [...ofFile(fast), ...ofFile(slow)].filter(isWhole);
      expect({ file, jobs: whole.length + halves.length / 2 }).toEqual({ file, jobs: 1 });
    }
  });
});
