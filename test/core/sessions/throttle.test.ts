import { describe, expect, test } from "bun:test";
import {
  Harness,
  type HarnessOptions,
  lastOf,
  stateOf,
  type TestClient,
  typesOf,
} from "../support/harness.ts";

/** Publishes so many messages a second for a while. @returns how many the client got meanwhile. */
function pass(
  harness: Harness,
  peer: TestClient,
  perSecond: number,
  seconds: number,
  acks = false,
): number {
  const before = peer.socket.payloads.length;
  for (let n = 0; n < perSecond * seconds; n++) {
    harness.publish(n);
    harness.clock.advance(1000 / perSecond);
    if (!acks) continue;
    const said = peer.socket.envelopes.at(-1);
    if (said !== undefined) peer.send({ type: "ack", upto: said.id });
  }
  return peer.socket.payloads.length - before;
}

const PLENTY: Partial<HarnessOptions> = {
  maxQueueMessages: 100_000,
  maxQueueBytes: 10_000_000,
  maxTotalQueueBytes: 100_000_000,
  highWaterBytes: 1_000_000,
};

describe("A client that says that it is slow", () => {
  test("gets what waits for it, though nothing more comes", () => {
    const harness = new Harness({ deliveryMode: "at-least-once", maxInflightMessages: 2 });
    const peer = harness.join();
    for (let n = 1; n <= 5; n++) harness.publish(n);
    harness.clock.advance(5);
    peer.send({ type: "slow" });
    for (let n = 0; n < 10; n++) {
      peer.send({ type: "ack", upto: peer.socket.envelopes.at(-1)?.id });
      harness.clock.advance(1000);
    }
    expect(peer.socket.payloads).toEqual([1, 2, 3, 4, 5]);
    expect(stateOf(peer.session)).toBe("live");
    harness.expectBalance();
  });

  test.each(["at-most-once", "at-least-once"] as const)(
    "gets half as much, half of that when it says so again, and all of it again by itself, in %s",
    (deliveryMode) => {
      const harness = new Harness({ ...PLENTY, deliveryMode });
      const acks = deliveryMode === "at-least-once";
      const peer = harness.join();
      const other = harness.join();
      expect(pass(harness, peer, 200, 1, acks)).toBe(200);
      peer.send({ type: "slow", id: "bp-1", timestamp: 1, payload: { utilization: 0.9 } });
      pass(harness, peer, 200, 1, acks);
      const half = pass(harness, peer, 200, 1, acks);
      expect(half).toBeGreaterThan(85);
      expect(half).toBeLessThan(115);
      peer.send({ type: "slow" });
      // Many complaints at a time are one.
      peer.send({ type: "slow" });
      const quarter = pass(harness, peer, 200, 1, acks);
      expect(quarter).toBeGreaterThan(40);
      expect(quarter).toBeLessThan(60);
      if (!acks) expect(other.socket.payloads).toHaveLength(800);
      // It is quiet for five seconds, then gets twice as much each second, until nothing waits.
      pass(harness, peer, 200, 14, acks);
      expect(pass(harness, peer, 200, 1, acks)).toBe(200);
      expect(stateOf(peer.session)).toBe("live");
      expect(peer.socket.payloads).toHaveLength(harness.meter.messagesReceived);
      harness.expectBalance();
    },
  );

  test("gets what waits at once when it says that it is well again", () => {
    const harness = new Harness(PLENTY);
    const peer = harness.join();
    peer.send({ type: "slow" });
    pass(harness, peer, 100, 2);
    expect(peer.socket.payloads.length).toBeLessThan(120);
    peer.send({ type: "ok" });
    harness.clock.advance(2);
    expect(peer.socket.payloads).toHaveLength(200);
    expect(stateOf(peer.session)).toBe("live");
  });

  test("has what it is too slow for conflated, where that is its policy", () => {
    const harness = new Harness({ ...PLENTY, policy: "conflate" });
    const peer = harness.join();
    peer.send({ type: "slow" });
    pass(harness, peer, 200, 4);
    peer.send({ type: "ok" });
    harness.clock.advance(2);
    expect(peer.socket.payloads.at(-1)).toBe(799);
    expect(harness.meter.ledger.conflated).toBeGreaterThan(300);
    harness.expectBalance();
  });

  test("gets what it has missed, though nothing waited when it said so and nothing more comes", () => {
    const harness = new Harness({ ...PLENTY, ringMessages: 100, ringBytes: 100_000 });
    const keeper = harness.join(["a"]);
    for (let n = 0; n <= 20; n++) harness.publish(n);
    harness.clock.advance(10);
    const peer = harness.joinV1();
    peer.send({ type: "slow" });
    const after = keeper.socket.envelopes[0]?.id;
    peer.send({ type: "subscribe", id: "1", subjects: ["a"], from: { after } });
    harness.clock.advance(1250);
    // Half of what waited, in the second after it was measured.
    expect(peer.socket.payloads.length).toBeGreaterThan(5);
    expect(peer.socket.payloads.length).toBeLessThan(15);
    harness.clock.advance(5000);
    expect(peer.socket.payloads).toHaveLength(20);
    expect(lastOf(peer)).toMatchObject({ type: "caught_up" });
    expect(stateOf(peer.session)).toBe("live");
    harness.expectBalance();
  });

  test("is told of a gap while nothing comes", () => {
    const harness = new Harness(PLENTY);
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: ["a"] });
    peer.send({ type: "slow" });
    harness.disconnect();
    harness.connect();
    harness.clock.advance(10);
    expect(typesOf(peer).slice(2)).toEqual(["upstream", "upstream", "gap"]);
  });

  test("is not held up where little comes", () => {
    const harness = new Harness(PLENTY);
    const peer = harness.join();
    peer.send({ type: "slow" });
    harness.clock.advance(1000);
    harness.publish(1);
    harness.clock.advance(600);
    expect(peer.socket.payloads).toEqual([1]);
  });

  test("does not keep a stop waiting", async () => {
    const harness = new Harness(PLENTY);
    const peer = harness.join();
    peer.send({ type: "slow" });
    pass(harness, peer, 100, 1);
    const drained = harness.clients.drain(5000);
    harness.clock.advance(50);
    await drained;
    expect(peer.socket.payloads).toHaveLength(100);
    expect(harness.clock.timers).toBe(0);
  });
});
