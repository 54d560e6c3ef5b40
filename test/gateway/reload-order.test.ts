import { describe, expect, test } from "bun:test";
import { defaultConfig } from "../../src/config/parse.ts";
import { GatewayLifecycle } from "../../src/gateway/gateway-lifecycle.ts";
import { keptLog } from "../access/support/kept-log.ts";
import { ManualClock } from "../core/support/manual-clock.ts";
import { FakeEngine, Gate, turn } from "../streamkit/fake-engine.ts";

/** A gateway whose engine is made when the test opens the gate. */
function gateway() {
  const engine = new FakeEngine();
  const made = new Gate();
  const makeEngine = async () => {
    engine.calls.push("make");
    await made.opened;
    return engine;
  };
  const { log } = keptLog();
  const parts = { makeEngine, clock: new ManualClock(), log, version: "1" };
  return { engine, made, lifecycle: new GatewayLifecycle(defaultConfig(), parts) };
}

describe("A reload", () => {
  test("during a start comes after it, and is one of the same engine", async () => {
    const { engine, made, lifecycle } = gateway();
    engine.startGate = new Gate();
    const { open } = engine.startGate;
    const started = lifecycle.start();
    const reloaded = lifecycle.reload(defaultConfig);
    made.open();
    await turn();
    expect(engine.calls).toEqual(["make", "start"]);
    open();
    await Promise.all([started, reloaded]);
    expect(engine.calls).toEqual(["make", "start", "reload"]);
  });

  test("before a start is waited for by it, and not by a stop", async () => {
    const { engine, made, lifecycle } = gateway();
    made.open();
    const read = Promise.withResolvers<ReturnType<typeof defaultConfig>>();
    const reloaded = lifecycle.reload(() => read.promise);
    const started = lifecycle.start();
    await turn();
    expect(engine.calls).toEqual([]);
    read.resolve(defaultConfig());
    await Promise.all([reloaded, started]);
    expect(engine.calls).toEqual(["make", "reload", "start"]);
    const later = Promise.withResolvers<ReturnType<typeof defaultConfig>>();
    const another = lifecycle.reload(() => later.promise);
    await turn();
    await lifecycle.stop(1000);
    later.resolve(defaultConfig());
    await another;
    expect(engine.calls).toEqual(["make", "reload", "start", "stop 900", "reload"]);
  });
});
