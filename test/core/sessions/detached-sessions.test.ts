/** How long sessions wait for their clients, and when the gateway keeps none. */
import { describe, expect, test } from "bun:test";
import { PLAIN } from "../../../src/core/wire/dialect.ts";
import { Harness, type TestClient } from "../support/harness.ts";

const TTL_MS = 1000;

function join(harness: Harness, session: string): TestClient {
  return harness.joinWith({ id: "", subjects: ["a"] }, PLAIN, false, session);
}

/** Ends a connection without a close frame. */
function lose({ connection }: TestClient): void {
  connection.closed(1006);
}

describe("A session without a connection", () => {
  test("has its whole time again if its client resumed it just before it would have expired", () => {
    const harness = new Harness({
      deliveryMode: "at-least-once",
      sessionTtlMs: TTL_MS,
      stepsPerTurn: 1,
    });
    for (const name of ["one", "two", "three"]) lose(join(harness, name));
    const { clock, broadcaster } = harness;
    clock.pause(TTL_MS);
    // Finds that all have expired, and ends the first of them in this turn.
    clock.turn();
    expect(broadcaster.sessions.detached).toBe(2);
    lose(join(harness, "three"));
    clock.advance(TTL_MS / 2);
    expect(broadcaster.sessions.detached).toBe(1);
    expect(harness.meter.sessionsResumed).toBe(1);
    clock.advance(TTL_MS);
    expect(broadcaster.sessions.detached).toBe(0);
    harness.expectBalance();
  });

  test("is kept also after the gateway was stopped and started again", async () => {
    const harness = new Harness({ deliveryMode: "at-least-once", sessionTtlMs: TTL_MS });
    const { clock, clients, broadcaster } = harness;
    const before = join(harness, "one");
    const drained = clients.drain(100);
    clock.advance(100);
    await drained;
    expect(before.socket.closedWith).toBe(1001);
    expect(broadcaster.sessions.detached).toBe(0);
    clients.open();
    lose(join(harness, "one"));
    expect(broadcaster.sessions.detached).toBe(1);
    clock.advance(2 * TTL_MS);
    expect(broadcaster.sessions.detached).toBe(0);
    harness.expectBalance();
  });

  test("expires also after the gateway was stopped while others expired", async () => {
    const harness = new Harness({
      deliveryMode: "at-least-once",
      sessionTtlMs: TTL_MS,
      stepsPerTurn: 1,
    });
    const { clock, clients, broadcaster } = harness;
    for (const name of ["one", "two", "three"]) lose(join(harness, name));
    clock.pause(TTL_MS);
    clock.turn();
    expect(broadcaster.sessions.detached).toBe(2);
    await clients.drain(0);
    clients.open();
    lose(join(harness, "one"));
    clock.advance(2 * TTL_MS);
    expect(broadcaster.sessions.detached).toBe(0);
    harness.expectBalance();
  });
});
