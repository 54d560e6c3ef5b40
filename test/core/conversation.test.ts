import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { SSE, V1 } from "../../src/core/dialect.ts";
import { ManualClock } from "./manual-clock.ts";
import { type Actor, Stage } from "./stage.ts";

/** What was said last. */
function last({ socket }: Actor) {
  return socket.said.at(-1);
}

function types({ socket }: Actor): string[] {
  return socket.said.map(({ type }) => type);
}

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
      },
    ]);
    expect(stage.meter.offered).toBe(0);
  });

  test("is told by the welcome when nothing comes from upstream", () => {
    const stage = new Stage();
    stage.disconnect();
    expect(last(stage.joinV1())).toMatchObject({ upstream: "disconnected" });
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
    expect(last(actor)).toEqual({
      type: "subscribed",
      id: "1",
      sub: "1",
      subjects: ["a", "b.>"],
      policy: "conflate",
      from: expect.stringMatching(/^[0-9a-f]{12}:1\.2$/),
    });
    actor.says({ type: "subscribe", id: "2", subjects: ["c"], policy: "drop-oldest" });
    expect(last(actor)).toMatchObject({ sub: "2", policy: "disconnect" });
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
    expect(last(actor)).toEqual({ type: "unsubscribed", sub: "2" });
    stage.publish(6, "a.b");
    stage.clock.advance(10);
    expect(actor.socket.payloads).toEqual([1, 2, 5]);
    expect([...stage.source.patterns]).toEqual([]);
    stage.expectBalance();
  });

  test("is answered behind what was published before it asked", () => {
    const stage = new Stage({ flushIntervalMs: 1000 });
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: ["a"] });
    stage.publish(1);
    stage.clock.advance(0);
    stage.publish(2);
    actor.says({ type: "ping" });
    stage.publish(3);
    actor.says({ type: "unsubscribe", sub: "1" });
    expect(types(actor)).toEqual([
      "welcome",
      "subscribed",
      "data",
      "data",
      "pong",
      "data",
      "unsubscribed",
    ]);
  });
});

describe("Subscription", () => {
  test("begins when the source says that all of it arrives, and not before", () => {
    const stage = new Stage();
    stage.source.confirms = false;
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: ["a", "b"] });
    stage.source.confirm("b");
    stage.publish(1, "b");
    expect(types(actor)).toEqual(["welcome"]);
    stage.source.confirm("a");
    expect(last(actor)).toMatchObject({
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
    expect(types(actor)).toEqual(["welcome", "unsubscribed", "subscribed"]);
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
    expect(types(actor)).toEqual(["welcome"]);
  });

  test("that NATS refuses is answered so, and may be asked for again", () => {
    const stage = new Stage();
    stage.source.confirms = false;
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: ["a"] });
    stage.broadcaster.refused("a", "Permissions Violation");
    expect(last(actor)).toMatchObject({
      type: "error",
      id: "1",
      error: { code: "forbidden", retryable: true },
    });
    stage.source.confirms = true;
    actor.says({ type: "subscribe", id: "1", subjects: ["a"] });
    expect(last(actor)).toMatchObject({ type: "subscribed", id: "1" });
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
    expect(last(actor)).toMatchObject({ type: "subscribed" });
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
    expect(last(actor)).toMatchObject({ payload: 3, superseded: 1 });
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

describe("Request that is not served", () => {
  test.each([
    ["malformed", undefined, "x"],
    ["malformed", undefined, { type: "data" }],
    ["malformed", "9", { type: "what", id: "9" }],
    ["malformed", undefined, { type: "subscribe", subjects: ["a"] }],
    ["malformed", "9", { type: "subscribe", id: "9" }],
    ["invalid_subject", "9", { type: "subscribe", id: "9", subjects: ["a..b"] }],
    ["unsupported", "9", { type: "subscribe", id: "9", subjects: ["a"], mode: "at-least-once" }],
    ["forbidden", "9", { type: "subscribe", id: "9", subjects: ["ours.a", "theirs.>"] }],
    ["duplicate_subscription", "1", { type: "subscribe", id: "1", subjects: ["ours.a"] }],
    ["unknown_subscription", "9", { type: "unsubscribe", sub: "9" }],
  ] as const)("is answered: %s (%s)", (code, id, frame) => {
    const stage = new Stage({ subjects: ["ours.>"] });
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: ["ours.>"] });
    actor.says(frame);
    const error = { code, message: expect.any(String), retryable: false };
    expect(last(actor)).toEqual({ type: "error", ...(id !== undefined && { id }), error });
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
    expect(last(actor)).toMatchObject({ id: "3", error: { code: "too_many_subscriptions" } });
    actor.says({ type: "unsubscribe", sub: "1" });
    actor.says({ type: "subscribe", id: "3", subjects: ["a"] });
    expect(last(actor)).toMatchObject({ type: "subscribed", id: "3" });
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
    expect(last(actor)).toEqual({
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
    expect(last(actor)).toMatchObject({ type: "subscribed", from: cursor });
    stage.publish(6);
    stage.clock.advance(10);
    expect(actor.socket.payloads).toEqual([3, 4, 5, 6]);
    expect(types(actor)).toEqual([
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
    const { from } = last(first)!;
    first.client.closed(1006);
    stage.publish(1, "quiet");
    const again = stage.joinV1();
    again.says({ type: "subscribe", id: "1", subjects: ["quiet"], from: { after: from } });
    stage.clock.advance(10);
    expect(types(again)).toEqual(["welcome", "subscribed", "data", "caught_up"]);
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

describe("Client that does not keep up", () => {
  const KILOBYTE = "x".repeat(1024);

  function laggard(stage: Stage, policy = "drop-oldest", subject = ">") {
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: [subject], policy });
    actor.socket.reads = false;
    stage.publish(KILOBYTE);
    stage.clock.advance(10);
    return actor;
  }

  test("is told slow once on the way in, and ok once on the way out", () => {
    const stage = new Stage();
    const actor = laggard(stage);
    expect(last(actor)).toMatchObject({ type: "slow", buffered_bytes: expect.any(Number) });
    for (const buffered of [1100, 500, 900, 300]) {
      actor.socket.buffered = buffered;
      stage.clock.advance(100);
    }
    expect(last(actor)).toMatchObject({ type: "slow" });
    expect(actor.client.state).toBe("queued");
    actor.socket.buffered = 200;
    actor.socket.reads = true;
    stage.clock.advance(100);
    expect(types(actor).slice(-2)).toEqual(["slow", "ok"]);
    expect(actor.client.state).toBe("live");
  });

  test("is not cut by one message that is much longer than the mark, but by its policy", () => {
    const stage = new Stage({ highWaterBytes: 1000 });
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: [">"], policy: "drop-oldest" });
    actor.socket.reads = false;
    stage.publish("x".repeat(10_000));
    stage.clock.advance(10);
    actor.says({ type: "ping" });
    stage.publish("next");
    actor.socket.buffered = 0;
    actor.socket.reads = true;
    stage.clock.advance(20);
    expect(actor.socket.closedWith).toBeUndefined();
    expect(actor.socket.payloads.at(-1)).toBe("next");
  });

  test("is cut when it asks and asks and does not read the answers", () => {
    const stage = new Stage({ highWaterBytes: 1000 });
    const actor = laggard(stage);
    for (let n = 0; n < 1000; n++) actor.says({ type: "ping", id: "x".repeat(100) });
    expect(actor.socket.closedWith).toBe(4510);
    expect(actor.socket.buffered).toBeLessThan(4000);
    stage.expectBalance();
  });

  test("comes back to nothing when it is cut while it comes back", () => {
    const stage = new Stage({ highWaterBytes: 1000, ringMessages: 10, ringBytes: 10_000 });
    stage.join(["b"]);
    const actor = laggard(stage, "drop-oldest", "a");
    const after = actor.socket.envelopes[0]!.id;
    stage.publish(1, "b");
    actor.socket.buffered = 10_000;
    actor.says({ type: "subscribe", id: "2", subjects: ["b"], from: { after } });
    expect(actor.socket.closedWith).toBe(4510);
    stage.clock.advance(1000);
    stage.publish(2, "b");
    expect(stage.meter).toMatchObject({ queued: 0, queuedBytes: 0, clientsLagging: 0 });
    stage.expectBalance();
  });

  test("is told exactly what it will not get, and all the rest comes", () => {
    const stage = new Stage({ maxQueueMessages: 3 });
    const actor = laggard(stage);
    for (let n = 2; n <= 9; n++) stage.publish(n);
    actor.socket.buffered = 0;
    actor.socket.reads = true;
    stage.clock.advance(20);
    expect(actor.socket.payloads).toEqual([KILOBYTE, 7, 8, 9]);
    const gap = actor.socket.notices.find(({ type }) => type === "gap");
    expect(gap).toMatchObject({
      count: 5,
      reason: "slow",
      from: expect.stringMatching(/:2$/),
      to: expect.stringMatching(/:6$/),
    });
    expect(stage.meter.gaps).toBe(1);
    stage.expectBalance();
  });

  test("is told before it is cut where to continue", () => {
    const stage = new Stage({ maxQueueMessages: 3 });
    const actor = laggard(stage, "disconnect");
    const cursor = actor.socket.envelopes[0]!.id;
    for (let n = 2; n <= 9; n++) stage.publish(n);
    expect(last(actor)).toEqual({
      type: "disconnect",
      code: 4510,
      reason: "slow consumer",
      reconnect: true,
      retry_after_ms: 1000,
      cursor,
    });
    expect(actor.socket.closedWith).toBe(4510);
  });

  test("is told when the server goes where to continue, if anything came", async () => {
    const stage = new Stage();
    const [idle, busy] = [stage.joinV1(), stage.joinV1()];
    busy.says({ type: "subscribe", id: "1", subjects: ["a"] });
    stage.publish(1);
    await stage.broadcaster.drain(1000);
    expect(last(idle)).toEqual({
      type: "disconnect",
      code: 1001,
      reason: "going away",
      reconnect: true,
      retry_after_ms: 1000,
    });
    expect(last(busy)).toMatchObject({ code: 1001, cursor: busy.socket.envelopes[0]!.id });
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
