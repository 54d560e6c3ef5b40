import { describe, expect, test } from "bun:test";
import { SSE, V1 } from "../../../src/core/wire/dialect.ts";
import { Harness, lastOf, stateOf, typesOf } from "../support/harness.ts";

describe("Client that came back", () => {
  /** A client that has some messages, and left; more came since. */
  function leaver(harness: Harness, { has, missed }: { has: number; missed: number }) {
    const keeper = harness.join(["a"]);
    for (let n = 1; n <= has; n++) harness.publish(n);
    harness.clock.advance(10);
    const cursor = String(keeper.socket.envelopes.at(-1)?.id);
    for (let n = has + 1; n <= has + missed; n++) harness.publish(n);
    harness.clock.advance(10);
    return { keeper, cursor };
  }

  test("gets what it has missed, is told that it has caught up, and then what comes", () => {
    const harness = new Harness({ ringMessages: 100, ringBytes: 100_000 });
    const { cursor } = leaver(harness, { has: 2, missed: 3 });
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: ["a"], from: { after: cursor } });
    expect(lastOf(peer)).toMatchObject({ type: "subscribed", from: cursor });
    harness.publish(6);
    harness.clock.advance(10);
    expect(peer.socket.payloads).toEqual([3, 4, 5, 6]);
    expect(typesOf(peer)).toEqual([
      ...["welcome", "subscribed", "data", "data", "data", "caught_up", "data"],
    ]);
    expect(stateOf(peer.session)).toBe("live");
    expect(harness.meter.resumed).toBe(1);
    harness.expectBalance();
  });

  test("is cut by nothing that comes while it catches up", () => {
    const harness = new Harness({ ringMessages: 100, ringBytes: 100_000, maxQueueBytes: 100_000 });
    const { cursor } = leaver(harness, { has: 1, missed: 100 });
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: ["a"], from: { after: cursor } });
    for (let n = 0; n < 100; n++) harness.publish("live");
    expect(peer.socket.closedWith).toBeUndefined();
    harness.clock.advance(10);
    expect(peer.socket.payloads).toHaveLength(200);
    harness.expectBalance();
  });

  test("is told of what the ring has no more, and where delivery begins", () => {
    const harness = new Harness({ ringMessages: 2, ringBytes: 100_000 });
    const { cursor } = leaver(harness, { has: 1, missed: 4 });
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: [">"], from: { after: cursor } });
    harness.clock.advance(10);
    const at = (sequence: number) => cursor.replace(/\d+$/, `${sequence}`);
    expect(peer.socket.frames.slice(1, 3)).toEqual([
      expect.objectContaining({ type: "subscribed", from: at(3) }),
      { type: "gap", from: at(2), to: at(3), count: 2, reason: "expired", exact: false, sub: "1" },
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
      const harness = new Harness({ upstream: "eager", ringMessages: 4, ringBytes: 100_000 });
      const { cursor: after } = leaver(harness, { has: 1, missed });
      const at = (sequence: number) => after.replace(/\d+$/, `${sequence}`);
      const peer = harness.joinWith({ id: "", subjects: "everything", after }, V1);
      harness.clock.advance(10);
      expect(peer.socket.notices.filter(({ type }) => type === "gap")).toEqual(
        gone === 0
          ? []
          : [
              {
                type: "gap",
                from: at(2),
                to: at(1 + gone),
                count: gone,
                reason: "expired",
                sub: "",
              },
            ],
      );
      expect(peer.socket.payloads).toHaveLength(missed - gone);
      expect(harness.meter.gaps).toBe(Math.min(1, gone));
      harness.expectBalance();
    },
  );

  test("gets of what it has missed the latest of each subject, where it asks for a rate", () => {
    const harness = new Harness({ ringMessages: 100, ringBytes: 100_000 });
    const keeper = harness.join();
    harness.publish(1);
    harness.clock.advance(10);
    const cursor = String(keeper.socket.envelopes[0]?.id);
    for (let n = 2; n <= 9; n++) harness.publish(n, n % 2 === 0 ? "a" : "b");
    harness.clock.advance(10);
    const peer = harness.joinV1();
    const from = { after: cursor };
    peer.send({ type: "subscribe", id: "1", subjects: [">"], max_rate: 1, from });
    harness.publish(10);
    harness.clock.advance(10);
    expect(peer.socket.envelopes).toMatchObject([
      { payload: 8, superseded: 3 },
      { payload: 9, superseded: 3 },
    ]);
    expect(lastOf(peer)).toMatchObject({ type: "caught_up" });
    harness.clock.advance(1000);
    expect(peer.socket.payloads).toEqual([8, 9, 10]);
    harness.expectBalance();
  });

  test("may have missed more than fits into its queue", () => {
    const kept = { ringMessages: 100, ringBytes: 100_000 };
    const harness = new Harness({ ...kept, maxQueueMessages: 2, maxQueueBytes: 1000 });
    const { cursor } = leaver(harness, { has: 1, missed: 50 });
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: ["a"], from: { after: cursor } });
    harness.clock.advance(10);
    expect(peer.socket.payloads).toHaveLength(50);
    harness.expectBalance();
  });

  test("does not get again what another of its subscriptions brings", () => {
    const harness = new Harness({ ringMessages: 100, ringBytes: 100_000 });
    const { cursor } = leaver(harness, { has: 1, missed: 1 });
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: ["a"] });
    harness.publish(3);
    peer.send({ type: "subscribe", id: "2", subjects: [">"], from: { after: cursor } });
    harness.clock.advance(10);
    expect(peer.socket.payloads).toEqual([3, 2]);
  });

  test("to a subject where nothing came since it was told where it began has no gap", () => {
    const harness = new Harness({ upstreamLingerMs: 1000, ringMessages: 100, ringBytes: 100_000 });
    const first = harness.joinV1();
    first.send({ type: "subscribe", id: "1", subjects: ["quiet"] });
    const { from } = lastOf(first)!;
    first.connection.closed(1006);
    harness.publish(1, "quiet");
    const again = harness.joinV1();
    again.send({ type: "subscribe", id: "1", subjects: ["quiet"], from: { after: from } });
    harness.clock.advance(10);
    expect(typesOf(again)).toEqual(["welcome", "subscribed", "data", "caught_up"]);
  });

  test.each([0, 1000])(
    "after a cut has a gap, though no message came since (linger %d)",
    (linger) => {
      const harness = new Harness({
        upstreamLingerMs: linger,
        ringMessages: 100,
        ringBytes: 100_000,
      });
      const first = harness.joinV1();
      first.send({ type: "subscribe", id: "1", subjects: ["a"] });
      harness.publish(1);
      harness.clock.advance(10);
      const cursor = first.socket.envelopes[0]!.id;
      first.connection.closed(1006);
      harness.disconnect();
      harness.connect();
      const again = harness.joinV1();
      again.send({ type: "subscribe", id: "1", subjects: ["a"], from: { after: cursor } });
      expect(again.socket.notices.find(({ type }) => type === "gap")).toMatchObject({
        reason: "upstream",
        exact: false,
      });
    },
  );

  test("in plain and by server-sent events gets the same", () => {
    const harness = new Harness({ ringMessages: 100, ringBytes: 100_000 });
    const { cursor: after } = leaver(harness, { has: 1, missed: 2 });
    const plain = harness.joinWith({ id: "", subjects: ["a"], after });
    const events = harness.joinWith({ id: "", subjects: ["a"], after }, SSE);
    harness.clock.advance(10);
    expect(plain.socket.payloads).toEqual([2, 3]);
    const stream = events.socket.textFrames.map(({ text }) => text).join("");
    expect([...stream.matchAll(/"payload":(\d)/g)].map(([, payload]) => payload)).toEqual([
      "2",
      "3",
    ]);
    harness.expectBalance();
  });
});
