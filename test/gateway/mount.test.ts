import { describe, expect, test } from "bun:test";
import { RUNTIMES, runProgram } from "../support/host-program.ts";

const EXPECTED = [
  ["published on one of two servers", 202],
  ["heard on both", [1, 1]],
  ["heard when one server has closed, and on a new one", [2, 2]],
  ["heard from the host's own publish", 3],
  ["stats", [4, 5, 3, 9, "connected"]],
  ["closed with", [1001, 1001, 1001]],
  [
    "told of connections",
    ["1 true plain", "2 true plain", "3 true plain", "4 true plain", "5 true plain"],
  ],
  [
    "told of their ends",
    ["1 client", "2 going_away", "3 going_away", "4 going_away", "5 going_away"],
  ],
  ["failed hooks that were logged", ["a hook that throws", "a hook that rejects"]],
  [
    "publish when stopped",
    [
      "PUBLISH_FAILED",
      'Cannot publish to "program.y" as the embedded source is not connected: the gateway is not running',
    ],
  ],
];

describe.each(RUNTIMES)("Gateway mounted on %s", (name) => {
  test("serves on several servers of its host, tells its hooks, publishes and counts", async () => {
    expect(await runProgram(name, "test/gateway/mount-program.ts")).toEqual(EXPECTED);
  });
});
