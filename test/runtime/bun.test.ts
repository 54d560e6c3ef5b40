import { expect, test } from "bun:test";
import { idleSeconds } from "../../src/runtime/bun.ts";
import { runProgram } from "../support/host-program.ts";

test("An event stream may be quiet for longer than idleTimeout of a host's server, and ends with its connection", async () => {
  expect(await runProgram("bun", "test/runtime/quiet-stream-program.ts")).toEqual([
    ["a quiet connection had its answer", true],
    ["a quiet connection had its answer", true],
    ["the stream has ended", false],
    ["the stream has ended with its gateway", true],
  ]);
});

test("A connection waits for its next request for as long as proxies use it again, and for a body as request_timeout says", () => {
  expect(idleSeconds(30_000)).toEqual({ first: 30, later: 75 });
  expect(idleSeconds(110_000)).toEqual({ first: 110, later: 115 });
  expect(idleSeconds(3_600_000)).toEqual({ first: 255, later: 255 });
});
