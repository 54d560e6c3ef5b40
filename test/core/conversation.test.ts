import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { lastOf, Stage, typesOf } from "./support/harness.ts";
import { ManualClock } from "./support/manual-clock.ts";

describe("Client of the v1 dialect", () => {
  test("is welcomed with what it needs to know, and gets nothing before it subscribes", () => {
    const stage = new Stage({ pingIntervalMs: 30_000, maxFrameBytes: 1024, maxSubscriptions: 8 });
    const actor = stage.joinV1();
    stage.publish(1);
    stage.clock.advance(10);
    expect(actor.socket.said).toEqual([
      {
        type: "welcome",
        session: expect.stringMatching(/^[0-9a-f-]{36}$/),
        version: "0",
        server_time: ManualClock.WALL_START_MS,
        ping_interval_ms: 30_000,
        upstream: "connected",
        limits: { max_frame_bytes: 1024, max_subscriptions: 8 },
        delivery_mode: "at-most-once",
      },
    ]);
    expect(stage.meter.offered).toBe(0);
  });

  test("is told by the welcome when nothing comes from upstream", () => {
    const stage = new Stage();
    stage.disconnect();
    expect(lastOf(stage.joinV1())).toMatchObject({ upstream: "disconnected" });
  });

  test("gets a pong for each ping, with its id", () => {
    const actor = new Stage().joinV1();
    actor.says({ type: "ping" });
    actor.says({ type: "ping", id: "7" });
    expect(actor.socket.notices.slice(1)).toEqual([{ type: "pong" }, { type: "pong", id: "7" }]);
  });

  test("is told what it subscribed to, with the policy in effect and where that begins", () => {
    const stage = new Stage({ policy: "disconnect", allowedPolicies: ["disconnect", "conflate"] });
    const actor = stage.joinV1();
    stage.source.subscribe("b");
    stage.publish(0);
    actor.says({ type: "subscribe", id: "1", subjects: ["a", "b.>"], policy: "conflate" });
    expect(lastOf(actor)).toEqual({
      type: "subscribed",
      id: "1",
      sub: "1",
      subjects: ["a", "b.>"],
      policy: "conflate",
      from: expect.stringMatching(/^[0-9a-f]{12}:1\.2$/),
    });
    actor.says({ type: "subscribe", id: "2", subjects: ["c"], policy: "drop-oldest" });
    expect(lastOf(actor)).toMatchObject({ sub: "2", policy: "disconnect" });
    stage.publish(1, "b.x");
    stage.clock.advance(10);
    expect(actor.socket.payloads).toEqual([1]);
  });

  test("gets what several of its subscriptions want once, and no more when all are ended", () => {
    const stage = new Stage();
    const actor = stage.joinV1();
    for (const [id, subject] of [">", "a.*", "a.b"].entries()) {
      actor.says({ type: "subscribe", id: `${id}`, subjects: [subject] });
    }
    stage.publish(1, "a.b");
    actor.says({ type: "unsubscribe", sub: "0" });
    stage.publish(2, "a.b");
    stage.publish(3, "c");
    actor.says({ type: "unsubscribe", sub: "1" });
    stage.publish(4, "a.c");
    stage.publish(5, "a.b");
    actor.says({ type: "unsubscribe", sub: "2" });
    expect(lastOf(actor)).toEqual({ type: "unsubscribed", sub: "2" });
    stage.publish(6, "a.b");
    stage.clock.advance(10);
    expect(actor.socket.payloads).toEqual([1, 2, 5]);
    expect([...stage.source.patterns]).toEqual([]);
    stage.expectBalance();
  });

  test("is told where a subscription begins and ends behind what was published before", () => {
    const stage = new Stage({ flushIntervalMs: 1000 });
    const actor = stage.joinV1();
    for (const id of ["1", "2"]) {
      actor.says({ type: "subscribe", id, subjects: ["a"] });
      stage.publish(id);
      stage.clock.advance(0);
      stage.publish(id);
    }
    for (const sub of ["1", "2"]) actor.says({ type: "unsubscribe", sub });
    expect(typesOf(actor)).toEqual([
      ...["welcome", "subscribed", "data", "data", "subscribed"],
      ...["unsubscribed", "data", "data", "unsubscribed"],
    ]);
  });

  test("is answered at once, and what waits for everybody's flush goes on waiting", () => {
    const stage = new Stage({ flushIntervalMs: 1000 });
    const [actor, other] = [stage.joinV1(), stage.joinV1()];
    for (const { says } of [actor, other]) says({ type: "subscribe", id: "1", subjects: ["a"] });
    stage.publish(1);
    stage.clock.advance(0);
    for (let n = 0; n < 5; n++) {
      stage.publish(n);
      actor.says({ type: "ping" });
      actor.says({ type: "unsubscribe", sub: "none" });
    }
    expect(typesOf(actor).slice(3)).toEqual(Array(5).fill(["pong", "error"]).flat());
    expect(other.socket.payloads).toEqual([1]);
    const { writes } = other.socket;
    stage.clock.advance(1000);
    expect(other.socket.payloads).toEqual([1, 0, 1, 2, 3, 4]);
    expect(other.socket.writes).toBe(writes + 1);
  });
});

describe("Request that is not served", () => {
  test.each([
    ["malformed", undefined, "x"],
    ["malformed", undefined, { type: "data" }],
    ["malformed", "9", { type: "what", id: "9" }],
    ["malformed", undefined, { type: "subscribe", subjects: ["a"] }],
    ["malformed", "9", { type: "subscribe", id: "9" }],
    ["invalid_subject", "9", { type: "subscribe", id: "9", subjects: ["a..b"] }],
    ["unsupported", "9", { type: "subscribe", id: "9", subjects: ["a"], mode: "at-least-once" }],
    ["unsupported", "9", { type: "auth", id: "9", token: "s3cret" }],
    ["forbidden", "9", { type: "subscribe", id: "9", subjects: ["ours.a", "theirs.>"] }],
    ["duplicate_subscription", "1", { type: "subscribe", id: "1", subjects: ["ours.a"] }],
    ["unknown_subscription", "9", { type: "unsubscribe", sub: "9" }],
  ] as const)("is answered: %s (%s)", (code, id, frame) => {
    const stage = new Stage({ subjects: ["ours.>"] });
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: ["ours.>"] });
    actor.says(frame);
    const error = { code, message: expect.any(String), retryable: false };
    expect(lastOf(actor)).toEqual({ type: "error", ...(id !== undefined && { id }), error });
    const isFault = code === "malformed";
    const refused = Object.entries(stage.meter.refused).filter(([, count]) => count > 0);
    expect(refused).toEqual(isFault ? [] : [[code, 1]]);
    expect(stage.meter.errors.get("malformed_frame")).toBe(isFault ? 1 : 0);
    // And what was served still is.
    stage.publish(1, "ours.a");
    stage.clock.advance(10);
    expect(actor.socket.payloads).toEqual([1]);
    expect([...stage.source.patterns]).toEqual(["ours.>"]);
  });

  test("is answered where a client has as many subscriptions as it may", () => {
    const stage = new Stage({ maxSubscriptions: 2 });
    const actor = stage.joinV1();
    for (const id of ["1", "2", "3"]) actor.says({ type: "subscribe", id, subjects: ["a"] });
    expect(lastOf(actor)).toMatchObject({ id: "3", error: { code: "too_many_subscriptions" } });
    actor.says({ type: "unsubscribe", sub: "1" });
    actor.says({ type: "subscribe", id: "3", subjects: ["a"] });
    expect(lastOf(actor)).toMatchObject({ type: "subscribed", id: "3" });
  });

  test("counts against the budget when it is malformed, and not when it is only refused", () => {
    const stage = new Stage({ maxMalformedFrames: 2, subjects: ["a"] });
    const actor = stage.joinV1();
    for (let n = 0; n < 10; n++) {
      actor.says({ type: "subscribe", id: `${n}`, subjects: ["b"] });
      actor.says({ type: "unsubscribe", sub: "x" });
      actor.says({ type: "subscribe", id: `${n}`, subjects: ["a"], from: "all" });
    }
    expect(actor.socket.closedWith).toBeUndefined();
    for (const _ of [1, 2]) actor.says("x");
    expect(actor.socket.closedWith).toBeUndefined();
    actor.says("x");
    expect(lastOf(actor)).toEqual({
      type: "disconnect",
      code: 4400,
      reason: "too many malformed frames",
      reconnect: false,
    });
    expect(actor.socket.closedWith).toBe(4400);
  });

  test("may be any bytes: an answer, or a close, is all that comes of it", () => {
    const frame = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.json(),
      fc.record({
        type: fc.constantFrom("subscribe", "unsubscribe", "ping", "ack", "slow", "auth"),
        id: fc.constantFrom("1", "", 1, null),
        sub: fc.constantFrom("1", "2"),
        subjects: fc.constantFrom(["a"], [], [">"], ["$SYS.>"], [1]),
        from: fc.constantFrom("new", { after: "x" }, { after: "" }, 7),
      }),
    );
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 20 }), (frames) => {
        const stage = new Stage();
        const actor = stage.joinV1();
        for (const frame of frames) actor.says(frame);
        stage.publish(1);
        stage.clock.advance(10);
        expect([undefined, 4400]).toContain(actor.socket.closedWith);
        expect(actor.socket.said.length).toBeLessThanOrEqual(2 + frames.length * 3 + 1);
        stage.expectBalance();
      }),
      { numRuns: 500 },
    );
  });
});
