import { describe, expect, test } from "bun:test";
import { SSE, V1 } from "../../../src/core/wire/dialect.ts";
import { lastOf, Stage, typesOf } from "../support/harness.ts";

describe("Client that came back", () => {
  /** A client that has some messages, and left; more came since. */
  function leaver(stage: Stage, { has, missed }: { has: number; missed: number }) {
    const keeper = stage.join(["a"]);
    for (let n = 1; n <= has; n++) stage.publish(n);
    stage.clock.advance(10);
    const cursor = String(keeper.socket.envelopes.at(-1)?.id);
    for (let n = has + 1; n <= has + missed; n++) stage.publish(n);
    stage.clock.advance(10);
    return { keeper, cursor };
  }

  test("gets what it has missed, is told that it has caught up, and then what comes", () => {
    const stage = new Stage({ ringMessages: 100, ringBytes: 100_000 });
    const { cursor } = leaver(stage, { has: 2, missed: 3 });
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: ["a"], from: { after: cursor } });
    expect(lastOf(actor)).toMatchObject({ type: "subscribed", from: cursor });
    stage.publish(6);
    stage.clock.advance(10);
    expect(actor.socket.payloads).toEqual([3, 4, 5, 6]);
    expect(typesOf(actor)).toEqual([
      ...["welcome", "subscribed", "data", "data", "data", "caught_up", "data"],
    ]);
    expect(actor.client.state).toBe("live");
    expect(stage.meter.resumed).toBe(1);
    stage.expectBalance();
  });

  test("is cut by nothing that comes while it catches up", () => {
    const stage = new Stage({ ringMessages: 100, ringBytes: 100_000, maxQueueBytes: 100_000 });
    const { cursor } = leaver(stage, { has: 1, missed: 100 });
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: ["a"], from: { after: cursor } });
    for (let n = 0; n < 100; n++) stage.publish("live");
    expect(actor.socket.closedWith).toBeUndefined();
    stage.clock.advance(10);
    expect(actor.socket.payloads).toHaveLength(200);
    stage.expectBalance();
  });

  test("is told of what the ring has no more, and where delivery begins", () => {
    const stage = new Stage({ ringMessages: 2, ringBytes: 100_000 });
    const { cursor } = leaver(stage, { has: 1, missed: 4 });
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: [">"], from: { after: cursor } });
    stage.clock.advance(10);
    const at = (sequence: number) => cursor.replace(/\d+$/, `${sequence}`);
    expect(actor.socket.said.slice(1, 3)).toEqual([
      expect.objectContaining({ type: "subscribed", from: at(3) }),
      { type: "gap", from: at(2), to: at(3), count: 2, reason: "expired", exact: false },
    ]);
  });

  test.each([
    [1, 0],
    [4, 0],
    [5, 1],
    [50, 46],
  ])(
    "has missed %d, of which the ring has 4, and is told exactly of the other %d",
    (missed, gone) => {
      const stage = new Stage({ upstream: "eager", ringMessages: 4, ringBytes: 100_000 });
      const { cursor: after } = leaver(stage, { has: 1, missed });
      const at = (sequence: number) => after.replace(/\d+$/, `${sequence}`);
      const actor = stage.joinWith({ id: "", subjects: undefined, after }, V1);
      stage.clock.advance(10);
      expect(actor.socket.notices.filter(({ type }) => type === "gap")).toEqual(
        gone === 0
          ? []
          : [{ type: "gap", from: at(2), to: at(1 + gone), count: gone, reason: "expired" }],
      );
      expect(actor.socket.payloads).toHaveLength(missed - gone);
      expect(stage.meter.gaps).toBe(Math.min(1, gone));
      stage.expectBalance();
    },
  );

  test("gets of what it has missed the latest of each subject, where it asks for a rate", () => {
    const stage = new Stage({ ringMessages: 100, ringBytes: 100_000 });
    const keeper = stage.join();
    stage.publish(1);
    stage.clock.advance(10);
    const cursor = String(keeper.socket.envelopes[0]?.id);
    for (let n = 2; n <= 9; n++) stage.publish(n, n % 2 === 0 ? "a" : "b");
    stage.clock.advance(10);
    const actor = stage.joinV1();
    const from = { after: cursor };
    actor.says({ type: "subscribe", id: "1", subjects: [">"], max_rate: 1, from });
    stage.publish(10);
    stage.clock.advance(10);
    expect(actor.socket.envelopes).toMatchObject([
      { payload: 8, superseded: 3 },
      { payload: 9, superseded: 3 },
    ]);
    expect(lastOf(actor)).toMatchObject({ type: "caught_up" });
    stage.clock.advance(1000);
    expect(actor.socket.payloads).toEqual([8, 9, 10]);
    stage.expectBalance();
  });

  test("may have missed more than fits into its queue", () => {
    const kept = { ringMessages: 100, ringBytes: 100_000 };
    const stage = new Stage({ ...kept, maxQueueMessages: 2, maxQueueBytes: 1000 });
    const { cursor } = leaver(stage, { has: 1, missed: 50 });
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: ["a"], from: { after: cursor } });
    stage.clock.advance(10);
    expect(actor.socket.payloads).toHaveLength(50);
    stage.expectBalance();
  });

  test("does not get again what another of its subscriptions brings", () => {
    const stage = new Stage({ ringMessages: 100, ringBytes: 100_000 });
    const { cursor } = leaver(stage, { has: 1, missed: 1 });
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: ["a"] });
    stage.publish(3);
    actor.says({ type: "subscribe", id: "2", subjects: [">"], from: { after: cursor } });
    stage.clock.advance(10);
    expect(actor.socket.payloads).toEqual([3, 2]);
  });

  test("to a subject where nothing came since it was told where it began has no gap", () => {
    const stage = new Stage({ upstreamLingerMs: 1000, ringMessages: 100, ringBytes: 100_000 });
    const first = stage.joinV1();
    first.says({ type: "subscribe", id: "1", subjects: ["quiet"] });
    const { from } = lastOf(first)!;
    first.client.closed(1006);
    stage.publish(1, "quiet");
    const again = stage.joinV1();
    again.says({ type: "subscribe", id: "1", subjects: ["quiet"], from: { after: from } });
    stage.clock.advance(10);
    expect(typesOf(again)).toEqual(["welcome", "subscribed", "data", "caught_up"]);
  });

  test.each([0, 1000])(
    "after a cut has a gap, though no message came since (linger %d)",
    (linger) => {
      const stage = new Stage({ upstreamLingerMs: linger, ringMessages: 100, ringBytes: 100_000 });
      const first = stage.joinV1();
      first.says({ type: "subscribe", id: "1", subjects: ["a"] });
      stage.publish(1);
      stage.clock.advance(10);
      const cursor = first.socket.envelopes[0]!.id;
      first.client.closed(1006);
      stage.disconnect();
      stage.connect();
      const again = stage.joinV1();
      again.says({ type: "subscribe", id: "1", subjects: ["a"], from: { after: cursor } });
      expect(again.socket.notices.find(({ type }) => type === "gap")).toMatchObject({
        reason: "upstream",
        exact: false,
      });
    },
  );

  test("in plain and by server-sent events gets the same", () => {
    const stage = new Stage({ ringMessages: 100, ringBytes: 100_000 });
    const { cursor: after } = leaver(stage, { has: 1, missed: 2 });
    const plain = stage.joinWith({ id: "", subjects: ["a"], after });
    const events = stage.joinWith({ id: "", subjects: ["a"], after }, SSE);
    stage.clock.advance(10);
    expect(plain.socket.payloads).toEqual([2, 3]);
    const stream = events.socket.received.map(({ text }) => text).join("");
    expect([...stream.matchAll(/"payload":(\d)/g)].map(([, payload]) => payload)).toEqual([
      "2",
      "3",
    ]);
    stage.expectBalance();
  });
});
