import { describe, expect, test } from "bun:test";
import { Harness, lastOf, stateOf, typesOf } from "../support/harness.ts";

describe("Client that does not keep up", () => {
  const KILOBYTE = "x".repeat(1024);

  function laggard(harness: Harness, policy = "drop-oldest", subject = ">") {
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: [subject], policy });
    peer.socket.reads = false;
    harness.publish(KILOBYTE);
    harness.clock.advance(10);
    return peer;
  }

  test("is told slow once on the way in, and ok once on the way out", () => {
    const harness = new Harness();
    const peer = laggard(harness);
    expect(lastOf(peer)).toMatchObject({ type: "slow", buffered_bytes: expect.any(Number) });
    for (const buffered of [1100, 500, 900, 300]) {
      peer.socket.buffered = buffered;
      harness.clock.advance(100);
    }
    expect(lastOf(peer)).toMatchObject({ type: "slow" });
    expect(stateOf(peer.session)).toBe("queued");
    peer.socket.buffered = 200;
    peer.socket.reads = true;
    harness.clock.advance(100);
    expect(typesOf(peer).slice(-2)).toEqual(["slow", "ok"]);
    expect(stateOf(peer.session)).toBe("live");
  });

  test("is not cut by one message that is much longer than the mark, but by its policy", () => {
    const harness = new Harness({ highWaterBytes: 1000 });
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: [">"], policy: "drop-oldest" });
    peer.socket.reads = false;
    harness.publish("x".repeat(10_000));
    harness.clock.advance(10);
    peer.send({ type: "ping" });
    harness.publish("next");
    peer.socket.buffered = 0;
    peer.socket.reads = true;
    harness.clock.advance(20);
    expect(peer.socket.closedWith).toBeUndefined();
    expect(peer.socket.payloads.at(-1)).toBe("next");
  });

  test("is cut when it asks and asks and does not read the answers", () => {
    const harness = new Harness({ highWaterBytes: 1000 });
    const peer = laggard(harness);
    for (let n = 0; n < 1000; n++) peer.send({ type: "ping", id: "x".repeat(100) });
    expect(peer.socket.closedWith).toBe(4510);
    expect(peer.socket.buffered).toBeLessThan(4000);
    harness.expectBalance();
  });

  test("comes back to nothing when it is cut while it comes back", () => {
    const harness = new Harness({ highWaterBytes: 1000, ringMessages: 10, ringBytes: 10_000 });
    harness.join(["b"]);
    const peer = laggard(harness, "drop-oldest", "a");
    const after = peer.socket.envelopes[0]!.id;
    harness.publish(1, "b");
    peer.socket.buffered = 10_000;
    peer.send({ type: "subscribe", id: "2", subjects: ["b"], from: { after } });
    expect(peer.socket.closedWith).toBe(4510);
    harness.clock.advance(1000);
    harness.publish(2, "b");
    expect(harness.meter).toMatchObject({
      clientsLagging: 0,
      ledger: { queued: 0, queuedBytes: 0 },
    });
    harness.expectBalance();
  });

  test("is told exactly what it will not get, and all the rest comes", () => {
    const harness = new Harness({ maxQueueMessages: 3 });
    const peer = laggard(harness);
    for (let n = 2; n <= 9; n++) harness.publish(n);
    peer.socket.buffered = 0;
    peer.socket.reads = true;
    harness.clock.advance(20);
    expect(peer.socket.payloads).toEqual([KILOBYTE, 7, 8, 9]);
    const gap = peer.socket.notices.find(({ type }) => type === "gap");
    expect(gap).toMatchObject({
      count: 5,
      reason: "slow",
      from: expect.stringMatching(/:2$/),
      to: expect.stringMatching(/:6$/),
    });
    expect(harness.meter.gaps).toBe(1);
    harness.expectBalance();
  });

  test("is told before it is cut where to continue", () => {
    const harness = new Harness({ maxQueueMessages: 3 });
    const peer = laggard(harness, "disconnect");
    const cursor = peer.socket.envelopes[0]!.id;
    for (let n = 2; n <= 9; n++) harness.publish(n);
    expect(lastOf(peer)).toEqual({
      type: "disconnect",
      code: 4510,
      reason: "slow consumer",
      reconnect: true,
      retry_after_ms: 1000,
      cursor,
    });
    expect(peer.socket.closedWith).toBe(4510);
  });

  test("is told to continue before what a slower subscription of it holds back", () => {
    const harness = new Harness();
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "slow", subjects: ["slow"], max_rate: 1 });
    peer.send({ type: "subscribe", id: "fast", subjects: ["fast"] });
    for (const [n, subject] of ["slow", "fast", "slow", "slow", "fast"].entries()) {
      harness.publish(n + 1, subject);
      harness.clock.advance(10);
    }
    expect(peer.socket.payloads).toEqual([1, 2, 5]);
    peer.session.end("slow_consumer");
    const { cursor } = lastOf(peer) as { cursor?: string };
    // The second of them superseded the first, and no client was told so.
    expect(cursor).toEndWith(":2");
    harness.expectBalance();
  });

  test("is told to continue before what it has missed and did not get yet", () => {
    const harness = new Harness({ highWaterBytes: 1000, ringMessages: 10, ringBytes: 10_000 });
    const other = harness.join(["b"]);
    for (const n of [1, 2, 3]) harness.publish(n, "b");
    const peer = laggard(harness, "drop-oldest", "a");
    const { id } = other.socket.envelopes[0]!;
    peer.send({ type: "subscribe", id: "2", subjects: ["b"], from: { after: id } });
    peer.session.end("overloaded");
    expect(lastOf(peer)).toMatchObject({ type: "disconnect", cursor: id });
  });

  test("is told to continue before what was superseded and then left out, though that stood behind what came later", () => {
    const harness = new Harness({
      flushIntervalMs: 0,
      highWaterBytes: 400,
      lowWaterBytes: 50,
      maxQueueAgeMs: 100,
    });
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: ["c.*", "a"], policy: "conflate" });
    peer.send({ type: "subscribe", id: "2", subjects: [">"], max_rate: 5 });
    harness.publish("x", "c.x");
    harness.publish("x", "a");
    peer.socket.reads = false;
    harness.publish("x".repeat(300), "c.y");
    harness.publish("x", "b");
    harness.publish("x", "c.x");
    harness.clock.advance(250);
    expect(peer.socket.envelopes.map(({ subject }) => subject)).toEqual(["a"]);
    const { cursor } = lastOf(peer) as { cursor?: string };
    expect(cursor).toEndWith(":0");
  });

  test("is told to continue before what the message superseded that was too much", () => {
    const harness = new Harness({ maxQueueBytes: 300 });
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: ["c"], policy: "conflate" });
    peer.send({ type: "subscribe", id: "2", subjects: [">"] });
    peer.send({ type: "subscribe", id: "3", subjects: [">"], max_rate: 5 });
    harness.publish("x", "c");
    harness.publish("x", "a");
    harness.publish(KILOBYTE, "c");
    expect(lastOf(peer)).toMatchObject({ code: 4510 });
    const { cursor } = lastOf(peer) as { cursor?: string };
    expect(cursor).toEndWith(":0");
    harness.expectBalance();
  });

  test("is told to continue before all that a slower subscription releases, though the first was too much", () => {
    const harness = new Harness({ maxQueueMessages: 1 });
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "slow", subjects: ["slow.*"], max_rate: 10 });
    peer.send({ type: "subscribe", id: "fast", subjects: ["fast"] });
    harness.publish(1, "slow.a");
    harness.clock.advance(10);
    harness.publish(2, "slow.a");
    peer.socket.reads = false;
    harness.publish(KILOBYTE, "fast");
    harness.clock.advance(20);
    harness.publish(4, "fast");
    expect(peer.connection.isOver).toBe(false);
    harness.clock.advance(100);
    expect(peer.socket.payloads).toEqual([1, KILOBYTE]);
    expect(lastOf(peer)).toMatchObject({
      code: 4510,
      cursor: peer.socket.envelopes[0]!.id,
    });
    harness.expectBalance();
  });

  test("is told where a subscription begins and what is gone, or neither", () => {
    const harness = new Harness({ highWaterBytes: 1000, ringMessages: 2, ringBytes: 10_000 });
    const other = harness.join(["b"]);
    for (const n of [1, 2, 3, 4]) harness.publish(n, "b");
    harness.clock.advance(10);
    const peer = laggard(harness, "drop-oldest", "a");
    const { id: after } = other.socket.envelopes[0]!;
    const { buffered_bytes: laggedAt } = lastOf(peer) as { buffered_bytes?: number };
    peer.socket.buffered = laggedAt! + 1000;
    peer.send({ type: "subscribe", id: "2", subjects: ["b"], from: { after } });
    peer.send({ type: "ping" });
    const told = typesOf(peer).slice(-3);
    expect(told).toEqual(["subscribed", "gap", "disconnect"]);
    harness.expectBalance();
  });

  test("is told when the server goes where to continue, if anything came", async () => {
    const harness = new Harness();
    const [idle, busy] = [harness.joinV1(), harness.joinV1()];
    busy.send({ type: "subscribe", id: "1", subjects: ["a"] });
    harness.publish(1);
    await harness.clients.drain(1000);
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

  function lagging(harness: Harness) {
    const peer = harness.joinV1();
    peer.send({ type: "subscribe", id: "1", subjects: [">"], policy: "drop-oldest" });
    peer.socket.reads = false;
    harness.publish(KILOBYTE);
    harness.clock.advance(300);
    harness.publish("next");
    return peer;
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
    const { session } = new Harness().join();
    expect(await isResolved(session.whenDrained(new AbortController().signal))).toBe(true);
  });

  test("resolves when the client has taken what waited", async () => {
    const harness = new Harness();
    const { session, socket } = lagging(harness);
    const drained = session.whenDrained(new AbortController().signal);
    harness.clock.advance(100);
    expect(await isResolved(drained)).toBe(false);
    socket.buffered = 0;
    socket.reads = true;
    harness.clock.advance(20);
    expect(await isResolved(drained)).toBe(true);
    expect(socket.payloads).toEqual([KILOBYTE, "next"]);
  });

  test("resolves when the client goes, or when the wait is cancelled", async () => {
    const harness = new Harness();
    const { connection, session } = lagging(harness);
    const cancel = new AbortController();
    const cancelled = session.whenDrained(cancel.signal);
    const drained = session.whenDrained(new AbortController().signal);
    cancel.abort();
    expect(await isResolved(cancelled)).toBe(true);
    expect(await isResolved(drained)).toBe(false);
    connection.closed(1006);
    expect(await isResolved(drained)).toBe(true);
    expect(session.waits).toBe(false);
  });
});
