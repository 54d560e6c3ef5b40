import { describe, expect, test } from "bun:test";
import { SSE, V1 } from "../../../src/core/wire/dialect.ts";
import { readEventStream } from "../support/event-stream-text.ts";
import { lastOf, Stage, typesOf } from "../support/harness.ts";

describe("Subscription", () => {
  test("begins when the source says that all of it arrives, and not before", () => {
    const stage = new Stage();
    stage.source.confirms = false;
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: ["a", "b"] });
    stage.source.confirm("b");
    stage.publish(1, "b");
    expect(typesOf(actor)).toEqual(["welcome"]);
    stage.source.confirm("a");
    expect(lastOf(actor)).toMatchObject({
      type: "subscribed",
      from: expect.stringMatching(/:1\.2$/),
    });
    stage.publish(2, "b");
    stage.clock.advance(10);
    expect(actor.socket.payloads).toEqual([2]);
  });

  test("that is ended before it began never begins, and its name is free", () => {
    const stage = new Stage();
    stage.source.confirms = false;
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: ["a"] });
    actor.says({ type: "unsubscribe", sub: "1" });
    actor.says({ type: "subscribe", id: "1", subjects: ["b"] });
    stage.source.confirmAll();
    expect(typesOf(actor)).toEqual(["welcome", "unsubscribed", "subscribed"]);
    stage.publish(1, "a");
    stage.clock.advance(10);
    expect(actor.socket.payloads).toEqual([]);
  });

  test("of a client that is gone never begins", () => {
    const stage = new Stage();
    stage.source.confirms = false;
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: ["a"] });
    actor.client.closed(1000);
    expect([...stage.source.patterns]).toEqual([]);
    stage.broadcaster.arrives("a");
    expect(typesOf(actor)).toEqual(["welcome"]);
  });

  test("of a plain client that NATS refuses ends it with 4403, and it is counted", () => {
    const stage = new Stage({ subjects: ["a", "b"] });
    stage.source.confirms = false;
    const [named, all] = [stage.join(["a"]), stage.join()];
    stage.broadcaster.refused("a", "Permissions Violation");
    expect(named.socket.closedWith).toBe(4403);
    // Who names nothing gets what there is, as long as there is something.
    stage.source.confirm("b");
    stage.publish(1, "b");
    stage.clock.advance(10);
    expect(all.socket.payloads).toEqual([1]);
    expect(stage.join(["a", "b"]).socket.closedWith).toBe(4403);
    stage.broadcaster.refused("b", "Permissions Violation");
    expect(all.socket.closedWith).toBe(4403);
    expect(stage.meter.refused.forbidden).toBe(3);
    expect(stage.meter.disconnections.get("forbidden")).toBe(3);
    stage.expectBalance();
  });

  test("of an event stream counts under the code of the error that it was told", () => {
    const stage = new Stage({ subjects: ["a", "b"] });
    stage.source.confirms = false;
    stage.joinWith({ id: "", subjects: ["a"] }, SSE);
    stage.joinWith({ id: "", subjects: ["b"] }, SSE);
    stage.broadcaster.refused("a", "this NATS server takes no such subject", true);
    expect(stage.meter.refused).toMatchObject({ invalid_subject: 1, forbidden: 0 });
    stage.broadcaster.refused("b", "Permissions Violation");
    expect(stage.meter.refused).toMatchObject({ invalid_subject: 1, forbidden: 1 });
  });

  test.each([true, false])(
    "of an event stream that NATS refuses is answered, and ended with a way to come back (known before: %p)",
    (known) => {
      const stage = new Stage({ subjects: ["a", "b"], upstreamLingerMs: 1e6 });
      stage.source.confirms = false;
      if (known) stage.joinV1().says({ type: "subscribe", id: "1", subjects: ["a"] });
      if (known) stage.broadcaster.refused("a", "Permissions Violation");
      const reader = stage.joinWith({ id: "", subjects: ["a"] }, SSE);
      const all = stage.joinWith({ id: "", subjects: undefined }, SSE);
      if (!known) stage.broadcaster.refused("a", "Permissions Violation");
      stage.source.confirm("b");
      const told = ({ socket }: typeof reader) =>
        readEventStream(socket.received.map(({ text }) => text).join("")).map(({ type, data }) => ({
          ...JSON.parse(data),
          type,
        }));
      const [, error, disconnect] = told(reader);
      expect(error).toMatchObject({ type: "error", id: "", error: { code: "forbidden" } });
      expect(disconnect).toMatchObject({ code: 4403, reconnect: true });
      expect(disconnect.retry_after_ms).toBeGreaterThan(30_000);
      expect(reader.socket.closedWith).toBe(4403);
      const types = told(all).map(({ type }) => type);
      expect(types).toContain("error");
      expect(types.filter((type) => type !== "error")).toEqual(["welcome", "subscribed"]);
      // What was refused comes once it is allowed, behind a gap.
      stage.source.confirm("a");
      stage.publish(1, "a");
      stage.clock.advance(10);
      expect(told(all).slice(types.length)).toMatchObject([
        { reason: "upstream" },
        { type: "message", payload: 1 },
      ]);
      stage.expectBalance();
    },
  );

  test("that NATS refuses is answered so, and may be asked for again", () => {
    const stage = new Stage();
    stage.source.confirms = false;
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: ["a"] });
    stage.broadcaster.refused("a", "Permissions Violation");
    expect(lastOf(actor)).toMatchObject({
      type: "error",
      id: "1",
      error: { code: "forbidden", retryable: true },
    });
    expect(stage.meter.refused.forbidden).toBe(1);
    stage.source.confirms = true;
    actor.says({ type: "subscribe", id: "1", subjects: ["a"] });
    expect(lastOf(actor)).toMatchObject({ type: "subscribed", id: "1" });
  });

  test("of a plain client and without NATS begins at once", () => {
    const stage = new Stage();
    stage.source.confirms = false;
    const plain = stage.join(["a"]);
    stage.publish(1);
    stage.clock.advance(10);
    expect(plain.socket.payloads).toEqual([1]);
    stage.disconnect();
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: ["b"] });
    expect(lastOf(actor)).toMatchObject({ type: "subscribed" });
  });

  test("at a rate gets the first message at once and then the latest of each subject", () => {
    const stage = new Stage();
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: [">"], max_rate: 10 });
    for (let n = 1; n <= 25; n++) {
      stage.publish(n);
      stage.clock.advance(10);
    }
    stage.clock.advance(200);
    expect(actor.socket.envelopes.map(({ payload, superseded }) => [payload, superseded])).toEqual([
      [1, undefined],
      [10, 8],
      [20, 9],
      [25, 4],
    ]);
    stage.expectBalance();
  });

  test("at a rate costs no look at its socket between two windows", () => {
    const stage = new Stage();
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: ["a"], max_rate: 0.01 });
    stage.publish(1);
    stage.clock.advance(1000);
    const before = stage.clock.rung;
    stage.clock.advance(10_000);
    expect(stage.clock.rung - before).toBeLessThan(50);
  });

  test("that is ended hands what it holds back to another one that wants it", () => {
    const stage = new Stage();
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "slow", subjects: [">"], max_rate: 0.1 });
    actor.says({ type: "subscribe", id: "all", subjects: ["a"] });
    for (const n of [1, 2, 3]) {
      stage.publish(n, "a");
      stage.publish(-n, "b");
      stage.clock.advance(10);
    }
    actor.says({ type: "unsubscribe", sub: "slow" });
    stage.clock.advance(10);
    expect(actor.socket.payloads).toEqual([1, -1, 3]);
    expect(lastOf(actor)).toMatchObject({ payload: 3, superseded: 1 });
    expect(actor.client.state).toBe("live");
    expect(stage.meter.dropped.abandoned).toBe(1);
    stage.expectBalance();
  });
});

describe("Audiences are told apart", () => {
  test.each([
    [["*"], undefined, "a.b"],
    [["a,b"], ["a", "b"], "a"],
    [["a"], ["a", "a"], "b"],
  ])("%p and %p", (one, other, subject) => {
    const stage = new Stage();
    const actors = [stage.join(one), stage.join(other)];
    stage.publish(1, subject);
    stage.clock.advance(10);
    const expected = [one, other].map((subjects) => {
      const stage = new Stage();
      const { socket } = stage.join(subjects);
      stage.publish(1, subject);
      stage.clock.advance(10);
      return socket.payloads;
    });
    expect(actors.map(({ socket }) => socket.payloads)).toEqual(expected);
  });
});

describe("Drain of a slowed-down client", () => {
  test("sends what is held back, and does not wait for its time", async () => {
    const stage = new Stage();
    const actor = stage.joinWith({ id: "", subjects: ["a"], maxRate: 0.01 }, V1);
    stage.publish(1);
    stage.clock.advance(10);
    stage.publish(2);
    stage.publish(3);
    const drained = stage.broadcaster.drain(60_000);
    stage.clock.advance(50);
    await drained;
    expect(actor.socket.payloads).toEqual([1, 3]);
    expect(stage.meter.dropped.abandoned).toBe(0);
    expect(stage.clock.timers).toBe(0);
    stage.expectBalance();
  });
});
