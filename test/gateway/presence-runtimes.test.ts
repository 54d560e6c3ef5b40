import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { RUNTIMES, runProgram } from "../support/host-program.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";

const present = (connections: number) => ({ connections, watches: 0, stale: false });
const factsOf = (run: number) => [
  ["two", present(run + 1)],
  ["one", present(run + 1)],
  ["one after the stop", present(run)],
];

describe.each(RUNTIMES)("Presence in mounted gateways on %s", (name) => {
  let nats: NatsServer;
  beforeAll(async () => {
    nats = await startNatsServer({ jetstream: true });
  });
  afterAll(() => nats.stop());

  test("is known to all of them, after each start too, and nothing is left of it", async () => {
    const env = { NATS_URL: nats.url };
    const told = await runProgram(name, "test/gateway/presence-program.ts", env);
    expect(told).toEqual([["off", "off"], ...factsOf(1), ...factsOf(2), ["keys", 0]]);
  });
});
