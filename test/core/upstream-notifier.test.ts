import { describe, expect, test } from "bun:test";
import type { Said } from "./support/fake-sockets.ts";
import { Stage } from "./support/harness.ts";

/** What was said of upstream and of gaps. */
function heard({ socket }: { socket: { notices: readonly { type: string }[] } }): unknown[] {
  return socket.notices
    .filter(({ type }) => type === "upstream" || type === "gap")
    .map(({ type, ...rest }) => ("state" in rest ? rest.state : type));
}

describe("When the source is cut off", () => {
  test("those who can be told are told, and of a gap once it is back", () => {
    const stage = new Stage();
    const [plain, idle, actor] = [stage.join(), stage.joinV1(), stage.joinV1()];
    actor.says({ type: "subscribe", id: "1", subjects: ["a"] });
    stage.publish(1);
    stage.disconnect();
    expect(heard(actor)).toEqual(["disconnected"]);
    stage.connect();
    stage.publish(2);
    stage.clock.advance(10);
    expect(heard(plain)).toEqual([]);
    expect(heard(idle)).toEqual(["disconnected", "connected"]);
    expect(heard(actor)).toEqual(["disconnected", "connected", "gap"]);
    const types = actor.socket.said.map(({ type }) => type);
    expect(types.slice(2)).toEqual(["data", "upstream", "upstream", "gap", "data"]);
    const cursor = actor.socket.envelopes[0]!.id;
    expect(actor.socket.notices.at(-1)).toEqual({
      type: "gap",
      from: cursor,
      to: cursor,
      count: 0,
      reason: "upstream",
      exact: false,
    });
    expect(stage.meter.gaps).toBe(1);
    expect(plain.socket.closedWith).toBeUndefined();
  });

  test("who subscribed before it was there for the first time is told of a gap", () => {
    const stage = new Stage();
    stage.broadcaster.status({ state: "idle" });
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: ["a"] });
    stage.connect();
    expect(heard(actor)).toEqual(["connected", "gap"]);
  });

  test("saying the same twice changes nothing", () => {
    const stage = new Stage();
    const actor = stage.joinV1();
    for (const _ of [1, 2]) stage.disconnect();
    for (const _ of [1, 2]) stage.connect();
    expect(heard(actor)).toEqual(["disconnected", "connected"]);
  });

  test("a client that lags hears of it in its place among the messages", () => {
    const stage = new Stage();
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: [">"], policy: "drop-oldest" });
    actor.socket.reads = false;
    stage.publish("x".repeat(1100));
    stage.clock.advance(10);
    stage.publish(1);
    stage.disconnect();
    stage.connect();
    stage.publish(2);
    expect(heard(actor)).toEqual([]);
    actor.socket.buffered = 0;
    actor.socket.reads = true;
    stage.clock.advance(20);
    const types = actor.socket.said.map(({ type }) => type);
    expect(types.slice(4)).toEqual(["data", "upstream", "upstream", "gap", "data", "ok"]);
    expect(stage.meter.gaps).toBe(1);
    stage.expectBalance();
  });
});

test("What is held back by max_rate comes before a gap, and is not superseded by what follows it", () => {
  const stage = new Stage();
  const actor = stage.joinV1();
  actor.says({ type: "subscribe", id: "1", subjects: ["a"], max_rate: 1 });
  stage.publish(1);
  stage.clock.advance(10);
  for (const n of [2, 3]) stage.publish(n);
  stage.clock.advance(10);
  stage.disconnect();
  stage.connect();
  stage.publish(4);
  stage.clock.advance(3000);
  expect(actor.socket.payloads).toEqual([1, 3, 4]);
  const types = actor.socket.said.map(({ type }) => type);
  expect(types.lastIndexOf("gap")).toBeGreaterThan(
    types.indexOf("data", types.indexOf("data") + 1),
  );
  expect(types.lastIndexOf("gap")).toBeLessThan(types.lastIndexOf("data"));
  stage.expectBalance();
});

describe("When the source may no longer have a pattern", () => {
  const told = ({ socket }: { socket: { notices: readonly Said[] } }): [string, unknown][] =>
    socket.notices
      .filter(({ type }) => type === "error" || type === "gap")
      .map(({ type, error, reason }): [string, unknown] => [
        type,
        (error as { code?: string } | undefined)?.code ?? reason,
      ]);

  const REVOKED = ["error", "forbidden"] as [string, unknown];
  const MISSED = ["gap", "upstream"] as [string, unknown];

  /** Clients of the v1 dialect with a subscription each. */
  function subscribers(stage: Stage, ...subjects: string[]) {
    return subjects.map((subject) => {
      const actor = stage.joinV1();
      actor.says({ type: "subscribe", id: "1", subjects: [subject] });
      return actor;
    });
  }

  test("who has it is told once, and of a gap when it comes again", () => {
    const stage = new Stage({ subjects: ["a.>", "b"] });
    const [wide, everything, other] = subscribers(stage, "a.>", ">", "b");
    const plain = stage.join(["a.>"]);
    for (const _ of [1, 2]) stage.broadcaster.refused("a.>", "no permission");
    expect(stage.meter.errors.get("upstream_refused")).toBe(1);
    expect(told(wide!)).toEqual([REVOKED]);
    expect(told(everything!)).toEqual([REVOKED]);
    for (const _ of [1, 2]) stage.broadcaster.arrives("a.>");
    expect(told(wide!)).toEqual([REVOKED, MISSED]);
    expect(told(everything!)).toEqual([REVOKED, MISSED]);
    expect([told(other!), told(plain)]).toEqual([[], []]);
  });

  test("who had it by way of a wider one is told of a gap, once it comes by itself", () => {
    const stage = new Stage();
    const [, narrow] = subscribers(stage, "a.>", "a.x");
    stage.source.confirms = false;
    stage.broadcaster.refused("a.>", "no permission");
    expect(told(narrow!)).toEqual([]);
    stage.source.confirm("a.x");
    expect(told(narrow!)).toEqual([MISSED]);
    stage.source.confirm("a.>");
    expect(told(narrow!)).toEqual([MISSED]);
  });

  test("who had it by way of a wider one that is ending, or is to be covered by the next, is told too", () => {
    for (const second of ["a.x", "*.>"]) {
      const stage = new Stage();
      const [wide, narrow] = subscribers(stage, "a.>", "a.x");
      stage.source.confirms = false;
      if (second === "a.x") wide!.says({ type: "unsubscribe", sub: "1" });
      else subscribers(stage, second);
      stage.broadcaster.refused("a.>", "no permission");
      stage.source.confirm(second);
      expect(told(narrow!)).toEqual([MISSED]);
    }
  });

  test("who has something of it that NATS sends hears nothing of it", () => {
    const stage = new Stage();
    const [narrow] = subscribers(stage, "a.x");
    stage.source.confirms = false;
    const [wide] = subscribers(stage, "a.>");
    stage.broadcaster.refused("a.>", "no permission");
    expect(told(wide!)).toEqual([REVOKED]);
    stage.publish(1, "a.x");
    stage.clock.advance(10);
    expect(narrow!.socket.payloads).toEqual([1]);
    expect(told(narrow!)).toEqual([]);
  });

  test("it is news again once it was not wanted for a while, or the source was cut off", () => {
    const stage = new Stage();
    const refusals = () => stage.meter.errors.get("upstream_refused");
    stage.source.confirms = false;
    for (const news of [1, 2]) {
      subscribers(stage, "a");
      stage.broadcaster.refused("a", "no permission");
      stage.broadcaster.refused("a", "no permission");
      expect(refusals()).toBe(news);
    }
    stage.source.confirms = true;
    const [actor] = subscribers(stage, "b");
    for (const _ of [1, 2]) {
      stage.broadcaster.refused("b", "no permission");
      stage.disconnect();
      stage.connect();
    }
    expect(refusals()).toBe(4);
    expect(told(actor!)).toEqual([REVOKED, MISSED, REVOKED, MISSED]);
  });

  test("who waits for it is told so in answer, and of no gap when it comes", () => {
    const stage = new Stage();
    stage.source.confirms = false;
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: ["a"] });
    stage.broadcaster.refused("a", "no permission");
    expect(told(actor)).toEqual([["error", "forbidden"]]);
    actor.says({ type: "subscribe", id: "1", subjects: ["a"] });
    stage.source.confirm("a");
    expect(told(actor).filter(([type]) => type === "gap")).toEqual([]);
  });
});
