import { describe, expect, test } from "bun:test";
import { RUNTIMES, runProgram } from "../support/host-program.ts";

const EXPECTED = [
  ["published on one of two servers", 202],
  ["heard on both", [1, 1]],
  ["heard when one server has closed, and on a new one", [2, 2]],
  ["closed with", [1001, 1001, 1001]],
];

describe.each(RUNTIMES)("Gateway mounted on %s", (name) => {
  test("serves on several servers of its host, before and after one of them closed", async () => {
    expect(await runProgram(name, "test/gateway/mount-program.ts")).toEqual(EXPECTED);
  });
});
