import { describe, expect, test } from "bun:test";
import type { BroadcasterOptions } from "../../../src/core/broadcaster-parts.ts";
import { type Actor, lastOf, Stage, typesOf } from "../support/harness.ts";

/** Publishes so many messages a second for a while. @returns how many the client got meanwhile. */
function pass(
  stage: Stage,
  actor: Actor,
  perSecond: number,
  seconds: number,
  acks = false,
): number {
  const before = actor.socket.payloads.length;
  for (let n = 0; n < perSecond * seconds; n++) {
    stage.publish(n);
    stage.clock.advance(1000 / perSecond);
    if (!acks) continue;
    const said = actor.socket.envelopes.at(-1);
    if (said !== undefined) actor.says({ type: "ack", upto: said.id });
  }
  return actor.socket.payloads.length - before;
}

const PLENTY: Partial<BroadcasterOptions> = {
  maxQueueMessages: 100_000,
  maxQueueBytes: 10_000_000,
  maxTotalQueueBytes: 100_000_000,
  highWaterBytes: 1_000_000,
};

describe("A client that says that it is slow", () => {
  test("gets what waits for it, though nothing more comes", () => {
    const stage = new Stage({ deliveryMode: "at-least-once", maxInflightMessages: 2 });
    const actor = stage.join();
    for (let n = 1; n <= 5; n++) stage.publish(n);
    stage.clock.advance(5);
    actor.says({ type: "slow" });
    for (let n = 0; n < 10; n++) {
      actor.says({ type: "ack", upto: actor.socket.envelopes.at(-1)?.id });
      stage.clock.advance(1000);
    }
    expect(actor.socket.payloads).toEqual([1, 2, 3, 4, 5]);
    expect(actor.client.state).toBe("live");
    stage.expectBalance();
  });

  test.each(["at-most-once", "at-least-once"] as const)(
    "gets half as much, half of that when it says so again, and all of it again by itself, in %s",
    (deliveryMode) => {
      const stage = new Stage({ ...PLENTY, deliveryMode });
      const acks = deliveryMode === "at-least-once";
      const actor = stage.join();
      const other = stage.join();
      expect(pass(stage, actor, 200, 1, acks)).toBe(200);
      actor.says({ type: "slow", id: "bp-1", timestamp: 1, payload: { utilization: 0.9 } });
      pass(stage, actor, 200, 1, acks);
      const half = pass(stage, actor, 200, 1, acks);
      expect(half).toBeGreaterThan(85);
      expect(half).toBeLessThan(115);
      actor.says({ type: "slow" });
      // Many complaints at a time are one.
      actor.says({ type: "slow" });
      const quarter = pass(stage, actor, 200, 1, acks);
      expect(quarter).toBeGreaterThan(40);
      expect(quarter).toBeLessThan(60);
      if (!acks) expect(other.socket.payloads).toHaveLength(800);
      // It is quiet for five seconds, then gets twice as much each second, until nothing waits.
      pass(stage, actor, 200, 14, acks);
      expect(pass(stage, actor, 200, 1, acks)).toBe(200);
      expect(actor.client.state).toBe("live");
      expect(actor.socket.payloads).toHaveLength(stage.meter.messagesReceived);
      stage.expectBalance();
    },
  );

  test("gets what waits at once when it says that it is well again", () => {
    const stage = new Stage(PLENTY);
    const actor = stage.join();
    actor.says({ type: "slow" });
    pass(stage, actor, 100, 2);
    expect(actor.socket.payloads.length).toBeLessThan(120);
    actor.says({ type: "ok" });
    stage.clock.advance(2);
    expect(actor.socket.payloads).toHaveLength(200);
    expect(actor.client.state).toBe("live");
  });

  test("has what it is too slow for conflated, where that is its policy", () => {
    const stage = new Stage({ ...PLENTY, policy: "conflate" });
    const actor = stage.join();
    actor.says({ type: "slow" });
    pass(stage, actor, 200, 4);
    actor.says({ type: "ok" });
    stage.clock.advance(2);
    expect(actor.socket.payloads.at(-1)).toBe(799);
    expect(stage.meter.conflated).toBeGreaterThan(300);
    stage.expectBalance();
  });

  test("gets what it has missed, though nothing waited when it said so and nothing more comes", () => {
    const stage = new Stage({ ...PLENTY, ringMessages: 100, ringBytes: 100_000 });
    const keeper = stage.join(["a"]);
    for (let n = 0; n <= 20; n++) stage.publish(n);
    stage.clock.advance(10);
    const actor = stage.joinV1();
    actor.says({ type: "slow" });
    const after = keeper.socket.envelopes[0]?.id;
    actor.says({ type: "subscribe", id: "1", subjects: ["a"], from: { after } });
    stage.clock.advance(1250);
    // Half of what waited, in the second after it was measured.
    expect(actor.socket.payloads.length).toBeGreaterThan(5);
    expect(actor.socket.payloads.length).toBeLessThan(15);
    stage.clock.advance(5000);
    expect(actor.socket.payloads).toHaveLength(20);
    expect(lastOf(actor)).toMatchObject({ type: "caught_up" });
    expect(actor.client.state).toBe("live");
    stage.expectBalance();
  });

  test("is told of a gap while nothing comes", () => {
    const stage = new Stage(PLENTY);
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: ["a"] });
    actor.says({ type: "slow" });
    stage.disconnect();
    stage.connect();
    stage.clock.advance(10);
    expect(typesOf(actor).slice(2)).toEqual(["upstream", "upstream", "gap"]);
  });

  test("is not held up where little comes", () => {
    const stage = new Stage(PLENTY);
    const actor = stage.join();
    actor.says({ type: "slow" });
    stage.clock.advance(1000);
    stage.publish(1);
    stage.clock.advance(600);
    expect(actor.socket.payloads).toEqual([1]);
  });

  test("does not keep a stop waiting", async () => {
    const stage = new Stage(PLENTY);
    const actor = stage.join();
    actor.says({ type: "slow" });
    pass(stage, actor, 100, 1);
    const drained = stage.broadcaster.drain(5000);
    stage.clock.advance(50);
    await drained;
    expect(actor.socket.payloads).toHaveLength(100);
    expect(stage.clock.timers).toBe(0);
  });
});
