import { describe, expect, test } from "bun:test";
import { Harness, stateOf } from "../support/harness.ts";
import { joinLagging, KILOBYTE } from "../support/lagging-client.ts";

describe("Client that lags", () => {
  test("leaves its audience above the high-water mark, and the others notice nothing", () => {
    const harness = new Harness();
    const { slow, healthy } = joinLagging(harness);
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
    const { slow, healthy } = joinLagging(harness);
    for (let n = 0; n < 20; n++) harness.publish(n);
    slow.socket.reads = true;
    slow.socket.buffered = 0;
    harness.clock.advance(10);
    expect(stateOf(slow.session)).toBe("live");
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
    expect(stateOf(session)).toBe("queued");
    harness.publish("queued");
    socket.buffered = 0;
    socket.reads = true;
    harness.clock.advance(10);
    expect(socket.payloads).toEqual([KILOBYTE, "waiting for the flush", "queued"]);
    harness.expectBalance();
  });

  test("stays out of its audience between the marks", () => {
    const harness = new Harness();
    const { slow } = joinLagging(harness);
    slow.socket.buffered = 500;
    harness.clock.advance(20);
    expect(stateOf(slow.session)).toBe("queued");
  });

  test("is found before the next sweep when its audience got more than the high-water mark", () => {
    const harness = new Harness();
    const { session, socket } = harness.join();
    socket.reads = false;
    harness.publish(KILOBYTE);
    harness.clock.advance(0);
    expect(stateOf(session)).toBe("queued");
  });

  test("is closed with 4510 when its queue is full, and what it missed is counted", () => {
    const harness = new Harness({ maxQueueMessages: 3 });
    const { slow, healthy } = joinLagging(harness);
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
    const { slow, healthy } = joinLagging(harness);
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
    const { slow } = joinLagging(harness);
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
    const { slow } = joinLagging(harness);
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
    const { slow } = joinLagging(harness);
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
