import { describe, expect, test } from "bun:test";
import { Harness, stateOf } from "../support/harness.ts";
import { joinLagging } from "../support/lagging-client.ts";

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
    const { slow } = joinLagging(harness);
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
    expect([stateOf(session), socket.closedWith]).toEqual(["queued", undefined]);
  });

  test("forgives messages in a queue their age, and none of those that come", () => {
    const harness = new Harness({ maxQueueAgeMs: 2000 });
    const { slow } = joinLagging(harness);
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
