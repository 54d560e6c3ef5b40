import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { allJobs, installJobs, NAMED_FILES, testFiles } from "./jobs.ts";

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

describe("The jobs of npm run test:install", () => {
  const jobs = installJobs();
  const whole = jobs.filter(({ args }) => args.length === 0);
  const parts = jobs.filter(({ args }) => args.length > 0);

  test("are files of tests, whole, and each part of another one", () => {
    const files = ["test/install/client.ts", "test/install/wrangler.ts"];
    expect(whole.map((job) => job.files)).toEqual(files.map((file) => [file]));
    for (const file of files) expect(existsSync(file)).toBe(true);
    const text = readFileSync(new URL("../install/first-minute.ts", import.meta.url), "utf8");
    const described = [...text.matchAll(/^(?:describe\(|\]\)\()"([^"]+)"/gm)].map(
      ([, name]) => name!,
    );
    expect(described).toHaveLength(4);
    const selected = parts.map(({ args }) => args[1]!);
    for (const name of described) {
      const [start] = name.split("%s");
      expect(selected.filter((part) => part.startsWith(start!)).length).toBeGreaterThan(0);
    }
    const machines = [...text.matchAll(/^ {2}\[\s*"([^"]+)",\s*(?:NPM\]|\{)/gm)].map(
      ([, name]) => name!,
    );
    expect(machines).toEqual(["Node 20", "Node 22", "only Bun", "only Deno"]);
    for (const name of machines) expect(selected).toContain(`On a machine with ${name}`);
  });
});
