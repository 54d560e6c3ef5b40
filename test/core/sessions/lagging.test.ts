import { describe, expect, test } from "bun:test";
import { lastOf, Stage, typesOf } from "../support/harness.ts";

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
    expect(lastOf(actor)).toMatchObject({ type: "slow", buffered_bytes: expect.any(Number) });
    for (const buffered of [1100, 500, 900, 300]) {
      actor.socket.buffered = buffered;
      stage.clock.advance(100);
    }
    expect(lastOf(actor)).toMatchObject({ type: "slow" });
    expect(actor.client.state).toBe("queued");
    actor.socket.buffered = 200;
    actor.socket.reads = true;
    stage.clock.advance(100);
    expect(typesOf(actor).slice(-2)).toEqual(["slow", "ok"]);
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
    expect(lastOf(actor)).toEqual({
      type: "disconnect",
      code: 4510,
      reason: "slow consumer",
      reconnect: true,
      retry_after_ms: 1000,
      cursor,
    });
    expect(actor.socket.closedWith).toBe(4510);
  });

  test("is told to continue before what a slower subscription of it holds back", () => {
    const stage = new Stage();
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "slow", subjects: ["slow"], max_rate: 1 });
    actor.says({ type: "subscribe", id: "fast", subjects: ["fast"] });
    for (const [n, subject] of ["slow", "fast", "slow", "slow", "fast"].entries()) {
      stage.publish(n + 1, subject);
      stage.clock.advance(10);
    }
    expect(actor.socket.payloads).toEqual([1, 2, 5]);
    actor.client.end("slow_consumer");
    const { cursor } = lastOf(actor) as { cursor?: string };
    // The second of them superseded the first, and no client was told so.
    expect(cursor).toEndWith(":2");
    stage.expectBalance();
  });

  test("is told to continue before what it has missed and did not get yet", () => {
    const stage = new Stage({ highWaterBytes: 1000, ringMessages: 10, ringBytes: 10_000 });
    const other = stage.join(["b"]);
    for (const n of [1, 2, 3]) stage.publish(n, "b");
    const actor = laggard(stage, "drop-oldest", "a");
    const { id } = other.socket.envelopes[0]!;
    actor.says({ type: "subscribe", id: "2", subjects: ["b"], from: { after: id } });
    actor.client.end("overloaded");
    expect(lastOf(actor)).toMatchObject({ type: "disconnect", cursor: id });
  });

  test("is told to continue before what was superseded and then left out, though that stood behind what came later", () => {
    const stage = new Stage({
      flushIntervalMs: 0,
      highWaterBytes: 400,
      lowWaterBytes: 50,
      maxQueueAgeMs: 100,
    });
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: ["c.*", "a"], policy: "conflate" });
    actor.says({ type: "subscribe", id: "2", subjects: [">"], max_rate: 5 });
    stage.publish("x", "c.x");
    stage.publish("x", "a");
    actor.socket.reads = false;
    stage.publish("x".repeat(300), "c.y");
    stage.publish("x", "b");
    stage.publish("x", "c.x");
    stage.clock.advance(250);
    expect(actor.socket.envelopes.map(({ subject }) => subject)).toEqual(["a"]);
    const { cursor } = lastOf(actor) as { cursor?: string };
    expect(cursor).toEndWith(":0");
  });

  test("is told to continue before what the message superseded that was too much", () => {
    const stage = new Stage({ maxQueueBytes: 300 });
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: ["c"], policy: "conflate" });
    actor.says({ type: "subscribe", id: "2", subjects: [">"] });
    actor.says({ type: "subscribe", id: "3", subjects: [">"], max_rate: 5 });
    stage.publish("x", "c");
    stage.publish("x", "a");
    stage.publish(KILOBYTE, "c");
    expect(lastOf(actor)).toMatchObject({ code: 4510 });
    const { cursor } = lastOf(actor) as { cursor?: string };
    expect(cursor).toEndWith(":0");
    stage.expectBalance();
  });

  test("is told to continue before all that a slower subscription releases, though the first was too much", () => {
    const stage = new Stage({ maxQueueMessages: 1 });
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "slow", subjects: ["slow.*"], max_rate: 10 });
    actor.says({ type: "subscribe", id: "fast", subjects: ["fast"] });
    stage.publish(1, "slow.a");
    stage.clock.advance(10);
    stage.publish(2, "slow.a");
    actor.socket.reads = false;
    stage.publish(KILOBYTE, "fast");
    stage.clock.advance(20);
    stage.publish(4, "fast");
    expect(actor.client.isOver).toBe(false);
    stage.clock.advance(100);
    expect(actor.socket.payloads).toEqual([1, KILOBYTE]);
    expect(lastOf(actor)).toMatchObject({
      code: 4510,
      cursor: actor.socket.envelopes[0]!.id,
    });
    stage.expectBalance();
  });

  test("is told where a subscription begins and what is gone, or neither", () => {
    const stage = new Stage({ highWaterBytes: 1000, ringMessages: 2, ringBytes: 10_000 });
    const other = stage.join(["b"]);
    for (const n of [1, 2, 3, 4]) stage.publish(n, "b");
    stage.clock.advance(10);
    const actor = laggard(stage, "drop-oldest", "a");
    const { id: after } = other.socket.envelopes[0]!;
    const { buffered_bytes: laggedAt } = lastOf(actor) as { buffered_bytes?: number };
    actor.socket.buffered = laggedAt! + 1000;
    actor.says({ type: "subscribe", id: "2", subjects: ["b"], from: { after } });
    actor.says({ type: "ping" });
    const told = typesOf(actor).slice(-3);
    expect(told).toEqual(["subscribed", "gap", "disconnect"]);
    stage.expectBalance();
  });

  test("is told when the server goes where to continue, if anything came", async () => {
    const stage = new Stage();
    const [idle, busy] = [stage.joinV1(), stage.joinV1()];
    busy.says({ type: "subscribe", id: "1", subjects: ["a"] });
    stage.publish(1);
    await stage.broadcaster.drain(1000);
    expect(lastOf(idle)).toEqual({
      type: "disconnect",
      code: 1001,
      reason: "going away",
      reconnect: true,
      retry_after_ms: 1000,
    });
    expect(lastOf(busy)).toMatchObject({ code: 1001, cursor: busy.socket.envelopes[0]!.id });
  });
});

describe("whenDrained", () => {
  const KILOBYTE = "x".repeat(1024);

  function lagging(stage: Stage) {
    const actor = stage.joinV1();
    actor.says({ type: "subscribe", id: "1", subjects: [">"], policy: "drop-oldest" });
    actor.socket.reads = false;
    stage.publish(KILOBYTE);
    stage.clock.advance(300);
    stage.publish("next");
    return actor;
  }

  /** Whether a promise is resolved by now. */
  async function isResolved(promise: Promise<void>): Promise<boolean> {
    let resolved = false;
    promise.then(() => {
      resolved = true;
    });
    await Promise.resolve();
    return resolved;
  }

  test("resolves at once for a client that keeps up", async () => {
    const { client } = new Stage().join();
    expect(await isResolved(client.whenDrained(new AbortController().signal))).toBe(true);
  });

  test("resolves when the client has taken what waited", async () => {
    const stage = new Stage();
    const { client, socket } = lagging(stage);
    const drained = client.whenDrained(new AbortController().signal);
    stage.clock.advance(100);
    expect(await isResolved(drained)).toBe(false);
    socket.buffered = 0;
    socket.reads = true;
    stage.clock.advance(20);
    expect(await isResolved(drained)).toBe(true);
    expect(socket.payloads).toEqual([KILOBYTE, "next"]);
  });

  test("resolves when the client goes, or when the wait is cancelled", async () => {
    const stage = new Stage();
    const { client } = lagging(stage);
    const cancel = new AbortController();
    const cancelled = client.whenDrained(cancel.signal);
    const drained = client.whenDrained(new AbortController().signal);
    cancel.abort();
    expect(await isResolved(cancelled)).toBe(true);
    expect(await isResolved(drained)).toBe(false);
    client.closed(1006);
    expect(await isResolved(drained)).toBe(true);
    expect(client.waits).toBe(false);
  });
});
