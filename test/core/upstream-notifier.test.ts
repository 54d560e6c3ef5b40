import { describe, expect, test } from "bun:test";
import type { ReceivedFrame } from "./support/fake-sockets.ts";
import { Harness, lastOf, stateOf } from "./support/harness.ts";

/** What was said of upstream and of gaps. */
function heard({ socket }: { socket: { notices: readonly { type: string }[] } }): unknown[] {
  return socket.notices
    .filter(({ type }) => type === "upstream" || type === "gap")
    .map(({ type, ...rest }) => ("state" in rest ? rest.state : type));
}

describe("When the source is cut off", () => {
  test("those who can be told are told, and of a gap once it is back", () => {
    const harness = new Harness();
    const [plain, idle, peer] = [harness.join(), harness.joinV1(), harness.joinV1()];
    peer.send({ type: "subscribe", id: "1", subjects: ["a"] });
    harness.publish(1);
    harness.disconnect();
    expect(heard(peer)).toEqual(["disconnected"]);
    harness.connect();
    harness.publish(2);
    harness.clock.advance(10);
    expect(heard(plain)).toEqual([]);
    expect(heard(idle)).toEqual(["disconnected", "connected"]);
    expect(heard(peer)).toEqual(["disconnected", "connected", "gap"]);
    const types = peer.socket.frames.map(({ type }) => type);
    expect(types.slice(2)).toEqual(["data", "upstream", "upstream", "gap", "data"]);
    const cursor = peer.socket.envelopes[0]!.id;
    expect(peer.socket.notices.at(-1)).toEqual({
      type: "gap",
      from: cursor,
      to: cursor,
      count: 0,
      reason: "upstream",
      exact: false,
    });
    expect(harness.meter.gaps).toBe(1);
    expect(plain.socket.closedWith).toBeUndefined();
  });

  test("who subscribed before it was there for the first time is told of a gap", () => {
    const harness = new Harness();
    harness.broadcaster.status({ state: "idle" });
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: ["a"] });
    harness.connect();
    expect(heard(peer)).toEqual(["connected", "gap"]);
  });

  test("saying the same twice changes nothing", () => {
    const harness = new Harness();
    const peer = harness.joinV1();
    for (const _ of [1, 2]) harness.disconnect();
    for (const _ of [1, 2]) harness.connect();
    expect(heard(peer)).toEqual(["disconnected", "connected"]);
  });

  test("a client that lags hears of it in its place among the messages", () => {
    const harness = new Harness();
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: [">"], policy: "drop-oldest" });
    peer.socket.reads = false;
    harness.publish("x".repeat(1100));
    harness.clock.advance(10);
    harness.publish(1);
    harness.disconnect();
    harness.connect();
    harness.publish(2);
    expect(heard(peer)).toEqual([]);
    peer.socket.buffered = 0;
    peer.socket.reads = true;
    harness.clock.advance(20);
    const types = peer.socket.frames.map(({ type }) => type);
    expect(types.slice(4)).toEqual(["data", "upstream", "upstream", "gap", "data", "ok"]);
    expect(harness.meter.gaps).toBe(1);
    harness.expectBalance();
  });
});

test("What is held back by max_rate comes before a gap, and is not superseded by what follows it", () => {
  const harness = new Harness();
  const peer = harness.joinV1();
  peer.send({ type: "subscribe", id: "1", subjects: ["a"], max_rate: 1 });
  harness.publish(1);
  harness.clock.advance(10);
  for (const n of [2, 3]) harness.publish(n);
  harness.clock.advance(10);
  harness.disconnect();
  harness.connect();
  harness.publish(4);
  harness.clock.advance(3000);
  expect(peer.socket.payloads).toEqual([1, 3, 4]);
  const types = peer.socket.frames.map(({ type }) => type);
  expect(types.lastIndexOf("gap")).toBeGreaterThan(
    types.indexOf("data", types.indexOf("data") + 1),
  );
  expect(types.lastIndexOf("gap")).toBeLessThan(types.lastIndexOf("data"));
  harness.expectBalance();
});

describe("When the source may no longer have a pattern", () => {
  const told = ({
    socket,
  }: {
    socket: { notices: readonly ReceivedFrame[] };
  }): [string, unknown][] =>
    socket.notices
      .filter(({ type }) => type === "error" || type === "gap")
      .map(({ type, error, reason }): [string, unknown] => [
        type,
        (error as { code?: string } | undefined)?.code ?? reason,
      ]);

  const REVOKED = ["error", "forbidden"] as [string, unknown];
  const MISSED = ["gap", "upstream"] as [string, unknown];

  /** Clients of the v1 dialect with a subscription each. */
  function subscribers(harness: Harness, ...subjects: string[]) {
    return subjects.map((subject) => {
      const peer = harness.joinV1();
      peer.send({ type: "subscribe", id: "1", subjects: [subject] });
      return peer;
    });
  }

  test("who has it is told once, and of a gap when it comes again", () => {
    const harness = new Harness({ subjects: ["a.>", "b"] });
    const [wide, everything, other] = subscribers(harness, "a.>", ">", "b");
    const plain = harness.join(["a.>"]);
    for (const _ of [1, 2]) harness.broadcaster.refused("a.>", "no permission");
    expect(harness.meter.errors.get("upstream_refused")).toBe(1);
    expect(told(wide!)).toEqual([REVOKED]);
    expect(told(everything!)).toEqual([REVOKED]);
    for (const _ of [1, 2]) harness.broadcaster.arrives("a.>");
    expect(told(wide!)).toEqual([REVOKED, MISSED]);
    expect(told(everything!)).toEqual([REVOKED, MISSED]);
    expect([told(other!), told(plain)]).toEqual([[], []]);
  });

  test("who had it by way of a wider one is told of a gap, once it comes by itself", () => {
    const harness = new Harness();
    const [, narrow] = subscribers(harness, "a.>", "a.x");
    harness.source.confirms = false;
    harness.broadcaster.refused("a.>", "no permission");
    expect(told(narrow!)).toEqual([]);
    harness.source.confirm("a.x");
    expect(told(narrow!)).toEqual([MISSED]);
    harness.source.confirm("a.>");
    expect(told(narrow!)).toEqual([MISSED]);
  });

  test("who had it by way of a wider one that is ending, or is to be covered by the next, is told too", () => {
    for (const second of ["a.x", "*.>"]) {
      const harness = new Harness();
      const [wide, narrow] = subscribers(harness, "a.>", "a.x");
      harness.source.confirms = false;
      if (second === "a.x") wide!.send({ type: "unsubscribe", sub: "1" });
      else subscribers(harness, second);
      harness.broadcaster.refused("a.>", "no permission");
      harness.source.confirm(second);
      expect(told(narrow!)).toEqual([MISSED]);
    }
  });

  test("who has something of it that NATS sends hears nothing of it", () => {
    const harness = new Harness();
    const [narrow] = subscribers(harness, "a.x");
    harness.source.confirms = false;
    const [wide] = subscribers(harness, "a.>");
    harness.broadcaster.refused("a.>", "no permission");
    expect(told(wide!)).toEqual([REVOKED]);
    harness.publish(1, "a.x");
    harness.clock.advance(10);
    expect(narrow!.socket.payloads).toEqual([1]);
    expect(told(narrow!)).toEqual([]);
  });

  test("it is news again once it was not wanted for a while, or the source was cut off", () => {
    const harness = new Harness();
    const refusals = () => harness.meter.errors.get("upstream_refused");
    harness.source.confirms = false;
    for (const news of [1, 2]) {
      subscribers(harness, "a");
      harness.broadcaster.refused("a", "no permission");
      harness.broadcaster.refused("a", "no permission");
      expect(refusals()).toBe(news);
    }
    harness.source.confirms = true;
    const [peer] = subscribers(harness, "b");
    for (const _ of [1, 2]) {
      harness.broadcaster.refused("b", "no permission");
      harness.disconnect();
      harness.connect();
    }
    expect(refusals()).toBe(4);
    expect(told(peer!)).toEqual([REVOKED, MISSED, REVOKED, MISSED]);
  });

  test("who waits for it is told so in answer, and of no gap when it comes", () => {
    const harness = new Harness();
    harness.source.confirms = false;
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: ["a"] });
    harness.broadcaster.refused("a", "no permission");
    expect(told(peer)).toEqual([["error", "forbidden"]]);
    peer.send({ type: "subscribe", id: "1", subjects: ["a"] });
    harness.source.confirm("a");
    expect(told(peer).filter(([type]) => type === "gap")).toEqual([]);
  });
});

describe("Very many clients of different subjects", () => {
  const MANY = 200;

  function crowd() {
    const harness = new Harness({ stepsPerTurn: 170, maxLagMs: 1000 });
    const peers = Array.from({ length: MANY }, (_, n) => {
      const peer = harness.joinV1();
      peer.send({ type: "subscribe", id: "1", subjects: [`a.${n}`] });
      return peer;
    });
    harness.clock.advance(100);
    const told = (): number => peers.filter((peer) => heard(peer).length > 0).length;
    return { harness, peers, told };
  }

  test("are told in many turns that the source is cut off, and that it is back", () => {
    const { harness, peers, told } = crowd();
    harness.broadcaster.status({ state: "connecting", reason: "test" });
    for (let turn = 1; turn <= 5; turn++) {
      expect(told()).toBeWithin(5 * turn, 10 * turn + 1);
      harness.clock.turn();
    }
    harness.broadcaster.status({ state: "connected", to: "test" });
    harness.clock.advance(100);
    for (const peer of peers) expect(heard(peer)).toEqual(["disconnected", "connected", "gap"]);
  });

  test("are told before their next message", () => {
    const { harness, peers } = crowd();
    const [live, slow] = [peers.at(-1)!, peers.at(-2)!];
    slow.session.slowDown();
    for (const n of [MANY - 1, MANY - 2]) harness.publish("before", `a.${n}`);
    harness.broadcaster.status({ state: "connecting", reason: "test" });
    harness.broadcaster.status({ state: "connected", to: "test" });
    for (const n of [MANY - 1, MANY - 2]) harness.publish("after", `a.${n}`);
    harness.clock.advance(10_000);
    for (const { socket } of [live, slow]) {
      expect(socket.frames.slice(-5).map(({ type, payload }) => payload ?? type)).toEqual([
        ...["before", "upstream", "upstream", "gap", "after"],
      ]);
    }
    harness.expectBalance();
  });

  test("are told once, whatever they do before their turn comes", () => {
    const { harness, peers } = crowd();
    const [mover, slowMover, recovered] = [peers.at(-1)!, peers.at(-2)!, peers.at(-3)!];
    // Its audience is told later than the one that the client comes from.
    const [slowJoiner, other] = [peers[0]!, peers.at(-5)!];
    other.send({ type: "subscribe", id: "2", subjects: ["a.0"] });
    for (const { session } of [slowMover, recovered, slowJoiner]) session.slowDown();
    harness.clock.advance(100);
    harness.disconnect();
    harness.connect();
    slowJoiner.send({ type: "subscribe", id: "2", subjects: [`a.${MANY - 5}`] });
    for (const peer of [mover, slowMover]) {
      peer.send({ type: "subscribe", id: "2", subjects: ["b"] });
    }
    recovered.send({ type: "ok" });
    harness.broadcaster.flush();
    expect(stateOf(recovered.session)).toBe("live");
    const late = harness.joinV1();
    late.send({ type: "subscribe", id: "1", subjects: [`a.${MANY - 4}`] });
    harness.clock.advance(10_000);
    for (const peer of peers) expect(heard(peer)).toEqual(["disconnected", "connected", "gap"]);
    expect(heard(late)).toEqual([]);
    expect(lastOf(late)?.type).toBe("subscribed");
  });
});
