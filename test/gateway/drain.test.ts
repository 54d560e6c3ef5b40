import { describe, expect, test } from "bun:test";
import { defaultConfig } from "../../src/config/parse.ts";
import { GatewayLifecycle } from "../../src/gateway/gateway-lifecycle.ts";
import { keptLog } from "../access/support/kept-log.ts";
import { ManualClock } from "../core/support/manual-clock.ts";
import { FakeEngine, turn } from "../streamkit/fake-engine.ts";

function gateway() {
  const engine = new FakeEngine();
  const { log } = keptLog();
  const clock = new ManualClock();
  const makeEngine = async () => engine;
  const lifecycle = new GatewayLifecycle(defaultConfig(), { makeEngine, clock, log, version: "1" });
  return { engine, lifecycle };
}

describe("A drain", () => {
  test("happens once, however often it is asked for, and ends with a stop", async () => {
    const { engine, lifecycle } = gateway();
    await lifecycle.start();
    const drains = [lifecycle.drain(), lifecycle.drain()];
    lifecycle.requestDrain();
    await turn();
    expect(engine.calls).toEqual(["start", "drain"]);
    engine.endDrain();
    await Promise.all(drains);
    expect(engine.calls).toEqual(["start", "drain", "stop 9750"]);
    expect(lifecycle.address).toBeUndefined();
  });

  test("is ended early by a stop, which it shares", async () => {
    const { engine, lifecycle } = gateway();
    await lifecycle.start();
    const drained = lifecycle.drain();
    await turn();
    await lifecycle.stop(1000);
    await drained;
    expect(engine.calls).toEqual(["start", "drain", "stop 900"]);
  });

  test("of a gateway that doesn't run does nothing, and a later start is as ever", async () => {
    const { engine, lifecycle } = gateway();
    await lifecycle.drain();
    expect(engine.calls).toEqual([]);
    await lifecycle.start();
    expect(engine.calls).toEqual(["start"]);
  });

  test("that an operator asks for is the host's to do, if it wants to", async () => {
    const { engine, lifecycle } = gateway();
    let asked = 0;
    lifecycle.onDrainRequest = () => void asked++;
    await lifecycle.start();
    lifecycle.requestDrain();
    await turn();
    expect([asked, engine.calls]).toEqual([1, ["start"]]);
  });
});
