import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Harness, lastOf, typesOf } from "./support/harness.ts";
import { ManualClock } from "./support/manual-clock.ts";

describe("Client of the v1 dialect", () => {
  test("is welcomed with what it needs to know, and gets nothing before it subscribes", () => {
    const harness = new Harness({
      pingIntervalMs: 30_000,
      maxFrameBytes: 1024,
      maxSubscriptions: 8,
    });
    const peer = harness.joinV1();
    harness.publish(1);
    harness.clock.advance(10);
    expect(peer.socket.frames).toEqual([
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
    expect(harness.meter.ledger.offered).toBe(0);
  });

  test("is told by the welcome when nothing comes from upstream", () => {
    const harness = new Harness();
    harness.disconnect();
    expect(lastOf(harness.joinV1())).toMatchObject({ upstream: "disconnected" });
  });

  test("gets a pong for each ping, with its id", () => {
    const peer = new Harness().joinV1();
    peer.send({ type: "ping" });
    peer.send({ type: "ping", id: "7" });
    expect(peer.socket.notices.slice(1)).toEqual([{ type: "pong" }, { type: "pong", id: "7" }]);
  });

  test("is told what it subscribed to, with the policy in effect and where that begins", () => {
    const harness = new Harness({
      policy: "disconnect",
      allowedPolicies: ["disconnect", "conflate"],
    });
    const peer = harness.joinV1();
    harness.source.subscribe("b");
    harness.publish(0);
    peer.send({ type: "subscribe", id: "1", subjects: ["a", "b.>"], policy: "conflate" });
    expect(lastOf(peer)).toEqual({
      type: "subscribed",
      id: "1",
      sub: "1",
      subjects: ["a", "b.>"],
      policy: "conflate",
      from: expect.stringMatching(/^[0-9a-f]{12}:1\.2$/),
    });
    peer.send({ type: "subscribe", id: "2", subjects: ["c"], policy: "drop-oldest" });
    expect(lastOf(peer)).toMatchObject({ sub: "2", policy: "disconnect" });
    harness.publish(1, "b.x");
    harness.clock.advance(10);
    expect(peer.socket.payloads).toEqual([1]);
  });

  test("gets what several of its subscriptions want once, and no more when all are ended", () => {
    const harness = new Harness();
    const peer = harness.joinV1();
    for (const [id, subject] of [">", "a.*", "a.b"].entries()) {
      peer.send({ type: "subscribe", id: `${id}`, subjects: [subject] });
    }
    harness.publish(1, "a.b");
    peer.send({ type: "unsubscribe", sub: "0" });
    harness.publish(2, "a.b");
    harness.publish(3, "c");
    peer.send({ type: "unsubscribe", sub: "1" });
    harness.publish(4, "a.c");
    harness.publish(5, "a.b");
    peer.send({ type: "unsubscribe", sub: "2" });
    expect(lastOf(peer)).toEqual({ type: "unsubscribed", sub: "2" });
    harness.publish(6, "a.b");
    harness.clock.advance(10);
    expect(peer.socket.payloads).toEqual([1, 2, 5]);
    expect([...harness.source.patterns]).toEqual([]);
    harness.expectBalance();
  });

  test("is told where a subscription begins and ends behind what was published before", () => {
    const harness = new Harness({ flushIntervalMs: 1000 });
    const peer = harness.joinV1();
    for (const id of ["1", "2"]) {
      peer.send({ type: "subscribe", id, subjects: ["a"] });
      harness.publish(id);
      harness.clock.advance(0);
      harness.publish(id);
    }
    for (const sub of ["1", "2"]) peer.send({ type: "unsubscribe", sub });
    expect(typesOf(peer)).toEqual([
      ...["welcome", "subscribed", "data", "data", "subscribed"],
      ...["unsubscribed", "data", "data", "unsubscribed"],
    ]);
  });

  test("is answered at once, and what waits for everybody's flush goes on waiting", () => {
    const harness = new Harness({ flushIntervalMs: 1000 });
    const [peer, other] = [harness.joinV1(), harness.joinV1()];
    for (const { send } of [peer, other]) send({ type: "subscribe", id: "1", subjects: ["a"] });
    harness.publish(1);
    harness.clock.advance(0);
    for (let n = 0; n < 5; n++) {
      harness.publish(n);
      peer.send({ type: "ping" });
      peer.send({ type: "unsubscribe", sub: "none" });
    }
    expect(typesOf(peer).slice(3)).toEqual(Array(5).fill(["pong", "error"]).flat());
    expect(other.socket.payloads).toEqual([1]);
    const { writes } = other.socket;
    harness.clock.advance(1000);
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
    const harness = new Harness({ subjects: ["ours.>"] });
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: ["ours.>"] });
    peer.send(frame);
    const error = { code, message: expect.any(String), retryable: false };
    expect(lastOf(peer)).toEqual({ type: "error", ...(id !== undefined && { id }), error });
    const isFault = code === "malformed";
    const refused = Object.entries(harness.meter.refused).filter(([, count]) => count > 0);
    expect(refused).toEqual(isFault ? [] : [[code, 1]]);
    expect(harness.meter.errors.get("malformed_frame")).toBe(isFault ? 1 : 0);
    // And what was served still is.
    harness.publish(1, "ours.a");
    harness.clock.advance(10);
    expect(peer.socket.payloads).toEqual([1]);
    expect([...harness.source.patterns]).toEqual(["ours.>"]);
  });

  test("is answered where a client has as many subscriptions as it may", () => {
    const harness = new Harness({ maxSubscriptions: 2 });
    const peer = harness.joinV1();
    for (const id of ["1", "2", "3"]) peer.send({ type: "subscribe", id, subjects: ["a"] });
    expect(lastOf(peer)).toMatchObject({ id: "3", error: { code: "too_many_subscriptions" } });
    peer.send({ type: "unsubscribe", sub: "1" });
    peer.send({ type: "subscribe", id: "3", subjects: ["a"] });
    expect(lastOf(peer)).toMatchObject({ type: "subscribed", id: "3" });
  });

  test("counts against the budget when it is malformed, and not when it is only refused", () => {
    const harness = new Harness({ maxMalformedFrames: 2, subjects: ["a"] });
    const peer = harness.joinV1();
    for (let n = 0; n < 10; n++) {
      peer.send({ type: "subscribe", id: `${n}`, subjects: ["b"] });
      peer.send({ type: "unsubscribe", sub: "x" });
      peer.send({ type: "subscribe", id: `${n}`, subjects: ["a"], from: "all" });
    }
    expect(peer.socket.closedWith).toBeUndefined();
    for (const _ of [1, 2]) peer.send("x");
    expect(peer.socket.closedWith).toBeUndefined();
    peer.send("x");
    expect(lastOf(peer)).toEqual({
      type: "disconnect",
      code: 4400,
      reason: "too many malformed frames",
      reconnect: false,
    });
    expect(peer.socket.closedWith).toBe(4400);
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
        const harness = new Harness();
        const peer = harness.joinV1();
        for (const frame of frames) peer.send(frame);
        harness.publish(1);
        harness.clock.advance(10);
        expect([undefined, 4400]).toContain(peer.socket.closedWith);
        expect(peer.socket.frames.length).toBeLessThanOrEqual(2 + frames.length * 3 + 1);
        harness.expectBalance();
      }),
      { numRuns: 500 },
    );
  });
});

describe("Frames from a client", () => {
  test("of StreamKit's kinds are counted and change nothing", () => {
    const harness = new Harness();
    const { send, socket } = harness.join();
    for (const frame of [
      { type: "ack", id: "x", timestamp: 1 },
      { type: "nack", id: "x", payload: { reason: "publish_failed", error: "e" } },
      { type: "slow", id: "bp-1", payload: { utilization: 0.9 } },
      { type: "ok" },
    ]) {
      send(frame);
    }
    send(new TextEncoder().encode('{"type":"ack","id":"binary"}'));
    expect(harness.meter.clientFrames).toMatchObject({ ack: 2, nack: 1, slow: 1, ok: 1 });
    expect(harness.meter.errorsTotal).toBe(0);
    expect(socket.textFrames).toEqual([]);
  });

  test.each([
    "",
    "{",
    "null",
    "[]",
    "7",
    '"ack"',
    "{}",
    '{"type":"ack"}',
    '{"type":"data","id":"1"}',
  ])("that read %j are malformed", (text) => {
    const harness = new Harness();
    const { send } = harness.join();
    send(text);
    expect(harness.meter.errors.get("malformed_frame")).toBe(1);
  });

  test("that are malformed are ignored within the budget, and past it close with 4400", () => {
    const harness = new Harness({ maxMalformedFrames: 2 });
    const { send, socket } = harness.join();
    send("x");
    send(new Uint8Array([0xff]));
    expect(socket.closedWith).toBeUndefined();
    send("x");
    expect(socket.closedWith).toBe(4400);
    expect(harness.meter.errors.get("malformed_frame")).toBe(3);
  });

  test("longer than max_frame_bytes close with 1009, counted in UTF-8", () => {
    const harness = new Harness({ maxFrameBytes: 1024 });
    const { send, socket } = harness.join();
    send({ type: "ok", pad: "é".repeat(490) });
    expect(socket.closedWith).toBeUndefined();
    send({ type: "ok", pad: "é".repeat(510) });
    expect(socket.closedWith).toBe(1009);
    expect(harness.meter.errors.get("frame_too_big")).toBe(1);
  });
});
