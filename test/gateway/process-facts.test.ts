import { expect, test } from "bun:test";
import { runtimeProblem } from "../../src/gateway/process-facts.ts";

const NODE_20 = { runtime: "node", version: "20.18.1" };
const NEEDS = "Spillway needs Node 22 or newer, Bun or Deno, and this is Node 20.18.1; ";

test("An old Node is refused, and Bun that starts it is told how to run the gateway itself", () => {
  expect(runtimeProblem(NODE_20, "npm/10.8.2 node/v20.18.1 linux x64")).toBe(
    `${NEEDS}install one of them and start it again`,
  );
  expect(runtimeProblem(NODE_20, "bun/1.4.5 npm/? node/v26.3.0 linux x64")).toBe(
    `${NEEDS}run it by Bun with --bun (bunx --bun spillway)`,
  );
  expect(runtimeProblem({ runtime: "node", version: "22.0.0" })).toBeUndefined();
  expect(runtimeProblem({ runtime: "bun", version: "1.2.0" })).toBeUndefined();
});
