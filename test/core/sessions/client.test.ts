import { describe, expect, test } from "bun:test";
import { Harness } from "../support/harness.ts";

const KILOBYTE = "x".repeat(1024);

/** A client that reads nothing and lags, and one that keeps up. */
function laggard(harness: Harness) {
  const slow = harness.join();
  const healthy = harness.join();
  slow.socket.reads = false;
  harness.publish(KILOBYTE);
  harness.clock.advance(300);
  expect(slow.session.state).toBe("queued");
  return { slow, healthy };
}

describe("Client that lags", () => {
  test("leaves its audience above the high-water mark, and the others notice nothing", () => {
    const harness = new Harness();
    const { slow, healthy } = laggard(harness);
    harness.publish("next");
    harness.clock.advance(2);
    expect(healthy.socket.payloads.at(-1)).toBe("next");
    expect(slow.socket.textFrames).toHaveLength(1);
    expect(harness.meter.clientsLagging).toBe(1);
    expect(harness.meter.ledger.queued).toBe(1);
    harness.expectBalance();
  });

  test("gets its queue in order below the low-water mark, rejoins, and misses nothing", () => {
    const harness = new Harness();
    const { slow, healthy } = laggard(harness);
    for (let n = 0; n < 20; n++) harness.publish(n);
    slow.socket.reads = true;
    slow.socket.buffered = 0;
    harness.clock.advance(10);
    expect(slow.session.state).toBe("live");
    harness.publish("live again");
    harness.clock.advance(2);
    expect(slow.socket.payloads).toEqual(healthy.socket.payloads);
    expect(harness.meter.clientsLagging).toBe(0);
    expect(harness.meter.ledger.queued).toBe(0);
    harness.expectBalance();
  });

  test("gets what was waiting for a flush when it left, before what came after", () => {
    const harness = new Harness({ flushIntervalMs: 10_000 });
    const { session, socket } = harness.join();
    socket.reads = false;
    harness.publish(KILOBYTE);
    harness.clock.advance(0);
    socket.buffered = 2000;
    harness.publish("waiting for the flush");
    harness.clock.advance(300);
    expect(session.state).toBe("queued");
    harness.publish("queued");
    socket.buffered = 0;
    socket.reads = true;
    harness.clock.advance(10);
    expect(socket.payloads).toEqual([KILOBYTE, "waiting for the flush", "queued"]);
    harness.expectBalance();
  });

  test("stays out of its audience between the marks", () => {
    const harness = new Harness();
    const { slow } = laggard(harness);
    slow.socket.buffered = 500;
    harness.clock.advance(20);
    expect(slow.session.state).toBe("queued");
  });

  test("is found before the next sweep when its audience got more than the high-water mark", () => {
    const harness = new Harness();
    const { session, socket } = harness.join();
    socket.reads = false;
    harness.publish(KILOBYTE);
    harness.clock.advance(0);
    expect(session.state).toBe("queued");
  });

  test("is closed with 4510 when its queue is full, and what it missed is counted", () => {
    const harness = new Harness({ maxQueueMessages: 3 });
    const { slow, healthy } = laggard(harness);
    for (let n = 0; n < 4; n++) harness.publish(n);
    expect(slow.socket.closedWith).toBe(4510);
    expect(harness.meter.ledger.dropped.slow_consumer).toBe(4);
    expect(harness.meter.ledger.queued).toBe(0);
    expect(harness.meter.ledger.queuedBytes).toBe(0);
    harness.clock.advance(2);
    expect(healthy.socket.textFrames).toHaveLength(5);
    harness.expectBalance();
  });

  test("is closed with 4511 and dropped when its buffer does not move for write_timeout", () => {
    const harness = new Harness({ writeTimeoutMs: 5000 });
    const { slow, healthy } = laggard(harness);
    harness.clock.advance(4000);
    expect(slow.socket.closedWith).toBeUndefined();
    harness.clock.advance(2000);
    expect(slow.socket.closedWith).toBe(4511);
    expect(slow.socket.terminated).toBe(true);
    expect(healthy.socket.closedWith).toBeUndefined();
    harness.expectBalance();
  });

  test("lives on as long as its buffer moves", () => {
    const harness = new Harness({ writeTimeoutMs: 5000 });
    const { slow } = laggard(harness);
    for (let step = 0; step < 5; step++) {
      harness.clock.advance(4000);
      slow.socket.buffered -= 100;
    }
    expect(slow.socket.closedWith).toBeUndefined();
  });

  test("that takes nothing is cut below the high-water mark too", () => {
    const harness = new Harness({ writeTimeoutMs: 5000 });
    const { socket } = harness.join();
    socket.reads = false;
    for (let second = 0; second < 7; second++) {
      harness.publish("tick");
      harness.clock.advance(1000);
    }
    expect(socket.closedWith).toBe(4511);
  });

  test("whose peer vanishes has its queue counted as abandoned", () => {
    const harness = new Harness();
    const { slow } = laggard(harness);
    harness.publish(1);
    slow.connection.closed(1006);
    expect(harness.meter.ledger.dropped.abandoned).toBe(1);
    expect(harness.meter.disconnections.get("vanished")).toBe(1);
    expect(harness.meter.clientsLagging).toBe(0);
    harness.expectBalance();
  });
});

describe("Client whose peer has begun to close", () => {
  test("gets nothing more from its queue, and what was there is counted as abandoned", () => {
    const harness = new Harness();
    const { slow } = laggard(harness);
    for (let n = 0; n < 5; n++) harness.publish(n);
    slow.socket.peerCloses = true;
    slow.socket.buffered = 0;
    harness.clock.advance(10);
    expect(slow.socket.textFrames).toHaveLength(1);
    expect(harness.meter.ledger.dropped.abandoned).toBe(5);
    expect(harness.meter.ledger.sent).toBe(7);
    expect(slow.connection.state).toBe("closed");
    harness.expectBalance();
  });

  test("counts nothing as sent from its audience either", () => {
    const harness = new Harness();
    const { socket } = harness.join();
    harness.join();
    socket.peerCloses = true;
    harness.publish(1);
    harness.clock.advance(0);
    expect(harness.meter.ledger.sent).toBe(1);
    expect(harness.meter.ledger.dropped.abandoned).toBe(1);
    harness.expectBalance();
  });
});

describe("Clients that are cut", () => {
  test("are logged with their reason, one line a second for each", () => {
    const harness = new Harness({ maxMalformedFrames: 0 });
    for (let n = 0; n < 3; n++) harness.join().send("x");
    expect(harness.warnings).toMatchObject([{ code: 4400, client: "test", others: 0 }]);
    harness.clock.advance(1000);
    harness.join().send("x");
    expect(harness.warnings[1]).toMatchObject({ code: 4400, others: 2 });
  });
});

describe("Keepalive", () => {
  test("pings each client every ping_interval", () => {
    const harness = new Harness({ pingIntervalMs: 1000, readTimeoutMs: 60_000 });
    const { socket } = harness.join();
    harness.clock.advance(10_500);
    expect(socket.pings).toBeWithin(9, 11);
  });

  test("takes a pong as life, for ever", () => {
    const harness = new Harness({ pingIntervalMs: 1000, readTimeoutMs: 3000 });
    const { connection, socket } = harness.join();
    for (let second = 0; second < 100; second++) {
      harness.clock.advance(1000);
      connection.heard();
    }
    expect(socket.closedWith).toBeUndefined();
  });

  test("closes a silent client with 4513 after read_timeout", () => {
    const harness = new Harness({ pingIntervalMs: 1000, readTimeoutMs: 3000 });
    const { socket } = harness.join();
    harness.clock.advance(2900);
    expect(socket.closedWith).toBeUndefined();
    harness.clock.advance(1000);
    expect(socket.closedWith).toBe(4513);
    expect(harness.meter.errors.get("no_pong")).toBe(1);
  });

  test("leaves no timer when the last client is gone", () => {
    const harness = new Harness();
    const { connection } = harness.join();
    connection.closed(1000);
    // The log tells of it for the last time.
    harness.clock.advance(10_000);
    expect(harness.clock.timers).toBe(0);
    expect(harness.meter.disconnections.get("client")).toBe(1);
  });
});

describe("Process that stood still", () => {
  const STANDSTILL_MS = 100_000;

  test("forgives silence as long as that, and pings at once", () => {
    const harness = new Harness({ pingIntervalMs: 1000, readTimeoutMs: 3000 });
    const { socket } = harness.join();
    harness.clock.advance(500);
    harness.clock.pause(STANDSTILL_MS);
    harness.clock.advance(0);
    expect(socket.pings).toBe(1);
    harness.clock.advance(2000);
    expect(socket.closedWith).toBeUndefined();
    harness.clock.advance(2000);
    expect(socket.closedWith).toBe(4513);
  });

  test("gives no longer life to whom it heard before it noticed", () => {
    const harness = new Harness({ pingIntervalMs: 1000, readTimeoutMs: 3000 });
    const { connection, socket } = harness.join();
    harness.clock.pause(STANDSTILL_MS);
    connection.heard();
    harness.clock.advance(4000);
    expect(socket.closedWith).toBe(4513);
  });

  test("forgives a buffer that did not move, below the high-water mark and above it", () => {
    const harness = new Harness({ writeTimeoutMs: 5000 });
    const { slow } = laggard(harness);
    const { socket } = harness.join();
    socket.reads = false;
    harness.publish("short");
    harness.clock.advance(1000);
    harness.clock.pause(STANDSTILL_MS);
    harness.clock.advance(3000);
    expect([slow.socket.closedWith, socket.closedWith]).toEqual([undefined, undefined]);
    harness.clock.advance(3000);
    expect([slow.socket.closedWith, socket.closedWith]).toEqual([4511, 4511]);
    harness.expectBalance();
  });

  test("forgives also when a burst of messages comes before its timers ring", () => {
    const harness = new Harness({
      pingIntervalMs: 1000,
      readTimeoutMs: 3000,
      maxQueueBytes: 1_000_000,
    });
    const { session, socket } = harness.join();
    socket.reads = false;
    harness.publish("short");
    harness.clock.advance(10);
    harness.clock.pause(STANDSTILL_MS);
    // So much is flushed at once, and the buffers are looked at.
    harness.publish("x".repeat(200_000));
    harness.clock.advance(1000);
    expect([session.state, socket.closedWith]).toEqual(["queued", undefined]);
  });

  test("forgives messages in a queue their age, and none of those that come", () => {
    const harness = new Harness({ maxQueueAgeMs: 2000 });
    const { slow } = laggard(harness);
    harness.publish("waits");
    harness.clock.pause(STANDSTILL_MS);
    harness.clock.advance(1000);
    expect(slow.socket.closedWith).toBeUndefined();
    harness.clock.advance(1500);
    expect(slow.socket.closedWith).toBe(4510);
    harness.expectBalance();
  });

  test("gives a peer that has not confirmed its close the rest of its time", () => {
    const harness = new Harness({ writeTimeoutMs: 5000 });
    const { session, socket } = harness.join(undefined, true);
    session.end("going_away");
    harness.clock.advance(1000);
    harness.clock.pause(STANDSTILL_MS);
    harness.clock.advance(3000);
    expect(socket.terminated).toBe(false);
    harness.clock.advance(2000);
    expect(socket.terminated).toBe(true);
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

  test("after the end change nothing, and ending twice is ending once", () => {
    const harness = new Harness();
    const { connection, session, socket, send } = harness.join();
    session.end("going_away");
    session.end("slow_consumer");
    connection.closed(1006);
    send("x");
    expect(socket.closedWith).toBe(1001);
    expect([...harness.meter.disconnections].filter(([, count]) => count > 0)).toEqual([
      ["going_away", 1],
    ]);
    expect(harness.meter.errorsTotal).toBe(0);
    harness.expectBalance();
  });
});
