import { describe, expect, test } from "bun:test";
import { Stage } from "../support/harness.ts";

const KILOBYTE = "x".repeat(1024);

/** A client that reads nothing and lags, and one that keeps up. */
function laggard(stage: Stage) {
  const slow = stage.join();
  const healthy = stage.join();
  slow.socket.reads = false;
  stage.publish(KILOBYTE);
  stage.clock.advance(300);
  expect(slow.client.state).toBe("queued");
  return { slow, healthy };
}

describe("Client that lags", () => {
  test("leaves its audience above the high-water mark, and the others notice nothing", () => {
    const stage = new Stage();
    const { slow, healthy } = laggard(stage);
    stage.publish("next");
    stage.clock.advance(2);
    expect(healthy.socket.payloads.at(-1)).toBe("next");
    expect(slow.socket.received).toHaveLength(1);
    expect(stage.meter.clientsLagging).toBe(1);
    expect(stage.meter.queued).toBe(1);
    stage.expectBalance();
  });

  test("gets its queue in order below the low-water mark, rejoins, and misses nothing", () => {
    const stage = new Stage();
    const { slow, healthy } = laggard(stage);
    for (let n = 0; n < 20; n++) stage.publish(n);
    slow.socket.reads = true;
    slow.socket.buffered = 0;
    stage.clock.advance(10);
    expect(slow.client.state).toBe("live");
    stage.publish("live again");
    stage.clock.advance(2);
    expect(slow.socket.payloads).toEqual(healthy.socket.payloads);
    expect(stage.meter.clientsLagging).toBe(0);
    expect(stage.meter.queued).toBe(0);
    stage.expectBalance();
  });

  test("gets what was waiting for a flush when it left, before what came after", () => {
    const stage = new Stage({ flushIntervalMs: 10_000 });
    const { client, socket } = stage.join();
    socket.reads = false;
    stage.publish(KILOBYTE);
    stage.clock.advance(0);
    socket.buffered = 2000;
    stage.publish("waiting for the flush");
    stage.clock.advance(300);
    expect(client.state).toBe("queued");
    stage.publish("queued");
    socket.buffered = 0;
    socket.reads = true;
    stage.clock.advance(10);
    expect(socket.payloads).toEqual([KILOBYTE, "waiting for the flush", "queued"]);
    stage.expectBalance();
  });

  test("stays out of its audience between the marks", () => {
    const stage = new Stage();
    const { slow } = laggard(stage);
    slow.socket.buffered = 500;
    stage.clock.advance(20);
    expect(slow.client.state).toBe("queued");
  });

  test("is found before the next sweep when its audience got more than the high-water mark", () => {
    const stage = new Stage();
    const { client, socket } = stage.join();
    socket.reads = false;
    stage.publish(KILOBYTE);
    stage.clock.advance(0);
    expect(client.state).toBe("queued");
  });

  test("is closed with 4510 when its queue is full, and what it missed is counted", () => {
    const stage = new Stage({ maxQueueMessages: 3 });
    const { slow, healthy } = laggard(stage);
    for (let n = 0; n < 4; n++) stage.publish(n);
    expect(slow.socket.closedWith).toBe(4510);
    expect(stage.meter.dropped.slow_consumer).toBe(4);
    expect(stage.meter.queued).toBe(0);
    expect(stage.meter.queuedBytes).toBe(0);
    stage.clock.advance(2);
    expect(healthy.socket.received).toHaveLength(5);
    stage.expectBalance();
  });

  test("is closed with 4511 and dropped when its buffer does not move for write_timeout", () => {
    const stage = new Stage({ writeTimeoutMs: 5000 });
    const { slow, healthy } = laggard(stage);
    stage.clock.advance(4000);
    expect(slow.socket.closedWith).toBeUndefined();
    stage.clock.advance(2000);
    expect(slow.socket.closedWith).toBe(4511);
    expect(slow.socket.terminated).toBe(true);
    expect(healthy.socket.closedWith).toBeUndefined();
    stage.expectBalance();
  });

  test("lives on as long as its buffer moves", () => {
    const stage = new Stage({ writeTimeoutMs: 5000 });
    const { slow } = laggard(stage);
    for (let step = 0; step < 5; step++) {
      stage.clock.advance(4000);
      slow.socket.buffered -= 100;
    }
    expect(slow.socket.closedWith).toBeUndefined();
  });

  test("that takes nothing is cut below the high-water mark too", () => {
    const stage = new Stage({ writeTimeoutMs: 5000 });
    const { socket } = stage.join();
    socket.reads = false;
    for (let second = 0; second < 7; second++) {
      stage.publish("tick");
      stage.clock.advance(1000);
    }
    expect(socket.closedWith).toBe(4511);
  });

  test("whose peer vanishes has its queue counted as abandoned", () => {
    const stage = new Stage();
    const { slow } = laggard(stage);
    stage.publish(1);
    slow.client.closed(1006);
    expect(stage.meter.dropped.abandoned).toBe(1);
    expect(stage.meter.disconnections.get("vanished")).toBe(1);
    expect(stage.meter.clientsLagging).toBe(0);
    stage.expectBalance();
  });
});

describe("Client whose peer has begun to close", () => {
  test("gets nothing more from its queue, and what was there is counted as abandoned", () => {
    const stage = new Stage();
    const { slow } = laggard(stage);
    for (let n = 0; n < 5; n++) stage.publish(n);
    slow.socket.peerCloses = true;
    slow.socket.buffered = 0;
    stage.clock.advance(10);
    expect(slow.socket.received).toHaveLength(1);
    expect(stage.meter.dropped.abandoned).toBe(5);
    expect(stage.meter.sent).toBe(7);
    expect(slow.client.state).toBe("closed");
    stage.expectBalance();
  });

  test("counts nothing as sent from its audience either", () => {
    const stage = new Stage();
    const { socket } = stage.join();
    stage.join();
    socket.peerCloses = true;
    stage.publish(1);
    stage.clock.advance(0);
    expect(stage.meter.sent).toBe(1);
    expect(stage.meter.dropped.abandoned).toBe(1);
    stage.expectBalance();
  });
});

describe("Clients that are cut", () => {
  test("are logged with their reason, one line a second for each", () => {
    const stage = new Stage({ maxMalformedFrames: 0 });
    for (let n = 0; n < 3; n++) stage.join().says("x");
    expect(stage.warnings).toMatchObject([{ code: 4400, client: "test", others: 0 }]);
    stage.clock.advance(1000);
    stage.join().says("x");
    expect(stage.warnings[1]).toMatchObject({ code: 4400, others: 2 });
  });
});

describe("Keepalive", () => {
  test("pings each client every ping_interval", () => {
    const stage = new Stage({ pingIntervalMs: 1000, readTimeoutMs: 60_000 });
    const { socket } = stage.join();
    stage.clock.advance(10_500);
    expect(socket.pings).toBeWithin(9, 11);
  });

  test("takes a pong as life, for ever", () => {
    const stage = new Stage({ pingIntervalMs: 1000, readTimeoutMs: 3000 });
    const { client, socket } = stage.join();
    for (let second = 0; second < 100; second++) {
      stage.clock.advance(1000);
      client.heard();
    }
    expect(socket.closedWith).toBeUndefined();
  });

  test("closes a silent client with 4513 after read_timeout", () => {
    const stage = new Stage({ pingIntervalMs: 1000, readTimeoutMs: 3000 });
    const { socket } = stage.join();
    stage.clock.advance(2900);
    expect(socket.closedWith).toBeUndefined();
    stage.clock.advance(1000);
    expect(socket.closedWith).toBe(4513);
    expect(stage.meter.errors.get("no_pong")).toBe(1);
  });

  test("leaves no timer when the last client is gone", () => {
    const stage = new Stage();
    const { client } = stage.join();
    client.closed(1000);
    // The log tells of it for the last time.
    stage.clock.advance(10_000);
    expect(stage.clock.timers).toBe(0);
    expect(stage.meter.disconnections.get("client")).toBe(1);
  });
});

describe("Process that stood still", () => {
  const STANDSTILL_MS = 100_000;

  test("forgives silence as long as that, and pings at once", () => {
    const stage = new Stage({ pingIntervalMs: 1000, readTimeoutMs: 3000 });
    const { socket } = stage.join();
    stage.clock.advance(500);
    stage.clock.pause(STANDSTILL_MS);
    stage.clock.advance(0);
    expect(socket.pings).toBe(1);
    stage.clock.advance(2000);
    expect(socket.closedWith).toBeUndefined();
    stage.clock.advance(2000);
    expect(socket.closedWith).toBe(4513);
  });

  test("gives no longer life to whom it heard before it noticed", () => {
    const stage = new Stage({ pingIntervalMs: 1000, readTimeoutMs: 3000 });
    const { client, socket } = stage.join();
    stage.clock.pause(STANDSTILL_MS);
    client.heard();
    stage.clock.advance(4000);
    expect(socket.closedWith).toBe(4513);
  });

  test("forgives a buffer that did not move, below the high-water mark and above it", () => {
    const stage = new Stage({ writeTimeoutMs: 5000 });
    const { slow } = laggard(stage);
    const { socket } = stage.join();
    socket.reads = false;
    stage.publish("short");
    stage.clock.advance(1000);
    stage.clock.pause(STANDSTILL_MS);
    stage.clock.advance(3000);
    expect([slow.socket.closedWith, socket.closedWith]).toEqual([undefined, undefined]);
    stage.clock.advance(3000);
    expect([slow.socket.closedWith, socket.closedWith]).toEqual([4511, 4511]);
    stage.expectBalance();
  });

  test("forgives also when a burst of messages comes before its timers ring", () => {
    const stage = new Stage({
      pingIntervalMs: 1000,
      readTimeoutMs: 3000,
      maxQueueBytes: 1_000_000,
    });
    const { client, socket } = stage.join();
    socket.reads = false;
    stage.publish("short");
    stage.clock.advance(10);
    stage.clock.pause(STANDSTILL_MS);
    // So much is flushed at once, and the buffers are looked at.
    stage.publish("x".repeat(200_000));
    stage.clock.advance(1000);
    expect([client.state, socket.closedWith]).toEqual(["queued", undefined]);
  });

  test("forgives messages in a queue their age, and none of those that come", () => {
    const stage = new Stage({ maxQueueAgeMs: 2000 });
    const { slow } = laggard(stage);
    stage.publish("waits");
    stage.clock.pause(STANDSTILL_MS);
    stage.clock.advance(1000);
    expect(slow.socket.closedWith).toBeUndefined();
    stage.clock.advance(1500);
    expect(slow.socket.closedWith).toBe(4510);
    stage.expectBalance();
  });

  test("gives a peer that has not confirmed its close the rest of its time", () => {
    const stage = new Stage({ writeTimeoutMs: 5000 });
    const { client, socket } = stage.join(undefined, true);
    client.end("going_away");
    stage.clock.advance(1000);
    stage.clock.pause(STANDSTILL_MS);
    stage.clock.advance(3000);
    expect(socket.terminated).toBe(false);
    stage.clock.advance(2000);
    expect(socket.terminated).toBe(true);
  });
});

describe("Frames from a client", () => {
  test("of StreamKit's kinds are counted and change nothing", () => {
    const stage = new Stage();
    const { says, socket } = stage.join();
    for (const frame of [
      { type: "ack", id: "x", timestamp: 1 },
      { type: "nack", id: "x", payload: { reason: "publish_failed", error: "e" } },
      { type: "slow", id: "bp-1", payload: { utilization: 0.9 } },
      { type: "ok" },
    ]) {
      says(frame);
    }
    says(new TextEncoder().encode('{"type":"ack","id":"binary"}'));
    expect(stage.meter.clientFrames).toMatchObject({ ack: 2, nack: 1, slow: 1, ok: 1 });
    expect(stage.meter.errorsTotal).toBe(0);
    expect(socket.received).toEqual([]);
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
    const stage = new Stage();
    const { says } = stage.join();
    says(text);
    expect(stage.meter.errors.get("malformed_frame")).toBe(1);
  });

  test("that are malformed are ignored within the budget, and past it close with 4400", () => {
    const stage = new Stage({ maxMalformedFrames: 2 });
    const { says, socket } = stage.join();
    says("x");
    says(new Uint8Array([0xff]));
    expect(socket.closedWith).toBeUndefined();
    says("x");
    expect(socket.closedWith).toBe(4400);
    expect(stage.meter.errors.get("malformed_frame")).toBe(3);
  });

  test("longer than max_frame_bytes close with 1009, counted in UTF-8", () => {
    const stage = new Stage({ maxFrameBytes: 1024 });
    const { says, socket } = stage.join();
    says({ type: "ok", pad: "é".repeat(490) });
    expect(socket.closedWith).toBeUndefined();
    says({ type: "ok", pad: "é".repeat(510) });
    expect(socket.closedWith).toBe(1009);
    expect(stage.meter.errors.get("frame_too_big")).toBe(1);
  });

  test("after the end change nothing, and ending twice is ending once", () => {
    const stage = new Stage();
    const { client, socket, says } = stage.join();
    client.end("going_away");
    client.end("slow_consumer");
    client.closed(1006);
    says("x");
    expect(socket.closedWith).toBe(1001);
    expect([...stage.meter.disconnections].filter(([, count]) => count > 0)).toEqual([
      ["going_away", 1],
    ]);
    expect(stage.meter.errorsTotal).toBe(0);
    stage.expectBalance();
  });
});
