import { describe, expect, test } from "bun:test";
import { availableParallelism } from "node:os";
import { type WorkerHost, workerCount, workerProblems } from "../../src/workers/worker-count.ts";

const LINUX: WorkerHost = {
  ...{ runtime: "node", version: "26.10.0", platform: "linux" },
  ...{ maySpawn: true, hasUnstableNet: true },
};
const refusal = (host: Partial<WorkerHost>, workers: number | "auto", sockets = "auto") =>
  workerProblems({ workers, sockets: sockets as "auto" }, { ...LINUX, ...host }).map(
    ({ text }) => text,
  );

describe("The number of workers", () => {
  test("is the configured one", () => {
    expect(workerCount({ workers: 3 }, "linux")).toBe(3);
  });

  test('is with "auto" at most that of the processors, and 1 where a port can\'t be shared', () => {
    const count = workerCount({ workers: "auto" }, "linux");
    expect(count).toBeGreaterThanOrEqual(1);
    expect(count).toBeLessThanOrEqual(availableParallelism());
    expect(workerCount({ workers: "auto" }, "darwin")).toBe(1);
  });
});

describe("Several workers", () => {
  test.each(["darwin", "win32", "freebsd"])("are refused on %s", (platform) => {
    expect(refusal({ platform }, 2)).toEqual([
      `"workers" is 2 but must be 1 on ${platform}: only Linux shares out the connections of a port among processes`,
    ]);
    expect(refusal({ platform }, 1)).toEqual([]);
    expect(refusal({ platform }, "auto")).toEqual([]);
  });

  test.each(["22.11.0", "23.0.0", "22.0.0"])("are refused on Node %s", (version) => {
    expect(refusal({ version }, "auto")).toEqual([
      `"workers" is "auto" but must be 1 on Node ${version}, whose processes can't share a port: use 22.12 or newer`,
    ]);
  });

  test.each(["22.12.0", "23.1.0", "24.0.0", "26.10.0"])("are allowed on Node %s", (version) => {
    expect(refusal({ version }, 2)).toEqual([]);
  });

  test("are refused if Deno may not start programs, or not share a port of its own sockets", () => {
    const deno = { runtime: "deno", version: "2.0.0" };
    expect(refusal({ ...deno, maySpawn: false }, 2)).toEqual([
      '"workers" is 2 but must be 1 as Deno may not start programs: run it with --allow-run; an executable by Deno can\'t',
    ]);
    expect(refusal({ ...deno, hasUnstableNet: false }, 2)).toEqual([]);
    expect(refusal({ ...deno, hasUnstableNet: false }, 2, "native")).toEqual([
      '"workers" is 2 but must be 1 with "sockets": "native" on Deno, unless it runs with --unstable-net',
    ]);
  });
});
