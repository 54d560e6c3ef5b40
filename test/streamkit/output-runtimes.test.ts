import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { RUNTIMES, runProgram } from "../support/host-program.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";

let nats: NatsServer;
beforeAll(async () => {
  nats = await startNatsServer();
});
afterAll(() => nats.stop());

const EXPECTED = [
  ["healthy before the start", false],
  ["round 1 heard", "round 1"],
  ["round 1 healthy", true],
  ["round 1 closed with", 1001],
  ["round 1 port is free", true],
  ["round 2 heard", "round 2"],
  ["round 2 healthy", true],
  ["round 2 closed with", 1001],
  ["round 2 port is free", true],
  ["healthy after the stop", false],
  ["components on one registry", ["injected", "embedded"]],
  ["injected heard", "injected"],
  ["taken port", ["transient", "LISTEN_FAILED", false, true]],
  ["injected connection is closed", false],
  ["from a flow file", "from-flow"],
  ["end", true],
];

describe.each(RUNTIMES)("StreamKit's component on %s", (name) => {
  test("starts, restarts, stops, shares what it is given, and leaves nothing that keeps the process", async () => {
    const environment = { PROGRAM_NATS_URL: nats.url };
    expect(await runProgram(name, "test/streamkit/output-program.ts", environment)).toEqual(
      EXPECTED,
    );
  });
});
