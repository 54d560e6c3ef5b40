import { describe, expect, test } from "bun:test";
import { departEvenly, departureMs } from "../../src/core/departures.ts";
import { V1 } from "../../src/core/wire/dialect.ts";
import { Harness } from "./support/harness.ts";
import { ManualClock } from "./support/manual-clock.ts";

/** Moves a clock on in steps, with a turn for promises after each. */
async function pass(clock: ManualClock, ms: number, stepMs = 10): Promise<void> {
  for (let passed = 0; passed < ms; passed += stepMs) {
    clock.advance(stepMs);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Returns how many of these times are in each part of a time. */
function perPart(times: readonly number[], partMs: number, parts: number): number[] {
  return Array.from(
    { length: parts },
    (_, part) => times.filter((ms) => Math.floor(ms / partMs) === part).length,
  );
}

describe("Clients of a gateway that drains", () => {
  test("leave evenly over the window, in another order than they came", async () => {
    const clock = new ManualClock();
    const left: { client: number; ms: number }[] = [];
    let isDone = false;
    const clients = Array.from({ length: 2000 }, (_, client) => client);
    const parts = {
      ...{ clock, random: Math.random },
      letGo: (client: number) => left.push({ client, ms: clock.nowMs() - 1 }),
      isOver: () => left.length === 2000,
    };
    const departed = departEvenly(clients, 10_000, parts, new AbortController().signal);
    void departed.then(() => {
      isDone = true;
    });
    await pass(clock, 5000);
    expect(isDone).toBe(false);
    await pass(clock, 5100);
    await departed;
    for (const count of perPart(
      left.map(({ ms }) => ms),
      500,
      20,
    ))
      expect(count).toBeWithin(96, 105);
    expect(left.map(({ client }) => client)).not.toEqual(clients);
    expect(new Set(left.map(({ client }) => client)).size).toBe(2000);
    expect(clock.timers).toBe(0);
  });

  test("need a part of the window if they are few", () => {
    expect([1, 100, 1000, 5000].map((count) => departureMs(count, 10_000))).toEqual([
      ...[10, 1000, 10_000, 10_000],
    ]);
    expect(departureMs(5000, 0)).toBe(0);
  });

  test("stay if the signal ends it early", async () => {
    const clock = new ManualClock();
    let left = 0;
    const early = new AbortController();
    const parts = { clock, random: Math.random, letGo: () => left++, isOver: () => false };
    const departed = departEvenly([1, 2, 3, 4], 1000, parts, early.signal);
    await pass(clock, 500);
    early.abort();
    await departed;
    expect(left).toBe(2);
    expect(clock.timers).toBe(0);
  });

  test("stay if the signal ends it when they were about to leave", async () => {
    const clock = new ManualClock();
    let left = 0;
    const early = new AbortController();
    // The timer comes late, as on a busy machine.
    let lateMs = 0;
    const late = { nowMs: () => clock.nowMs() + lateMs, after: clock.after.bind(clock) };
    const parts = { clock: late, random: Math.random, letGo: () => left++, isOver: () => false };
    const departed = departEvenly([1, 2, 3, 4], 1000, parts, early.signal);
    lateMs = 5000;
    early.abort();
    await departed;
    expect([left, clock.timers]).toEqual([0, 0]);
  });

  test("are each told a time and a cursor of its own, so that they come to others evenly", async () => {
    const harness = new Harness({ maxClients: 10_000, ringMessages: 100, ringBytes: 100_000 });
    let last = 0;
    Object.defineProperty(harness, "random", { get: () => (last = (last + 0.618) % 1) });
    const peers = Array.from({ length: 1000 }, () =>
      harness.joinWith({ id: "1", subjects: "everything" }, V1),
    );
    const returns = new Map<number, number>();
    const departed = harness.clients.depart(10_000, new AbortController().signal);
    for (let ms = 0; ms < 10_200; ms += 10) {
      harness.publish(`s.${ms}`, "{}");
      await pass(harness.clock, 10);
      for (const [index, { socket }] of peers.entries()) {
        if (socket.closedWith === undefined || returns.has(index)) continue;
        const notice = socket.notices.at(-1);
        expect(notice).toMatchObject({ type: "disconnect", code: 1001, reconnect: true });
        // Nothing is missing: the cursor is that of the client's last message.
        expect(notice?.cursor).toBe(socket.envelopes.at(-1)?.id ?? notice?.cursor);
        returns.set(index, ms + Number(notice?.retry_after_ms));
      }
    }
    await departed;
    expect(returns.size).toBe(1000);
    // Between the first and the last second, as many come each second.
    const perSecond = perPart([...returns.values()], 1000, 13).slice(2, 11);
    for (const count of perSecond) expect(count).toBeWithin(85, 115);
    harness.expectBalance();
  });

  test("get what is queued for them first", async () => {
    const harness = new Harness();
    const slow = harness.join();
    slow.socket.reads = false;
    for (let n = 0; n < 8; n++) harness.publish("a", JSON.stringify("x".repeat(300)));
    await pass(harness.clock, 300);
    const departed = harness.clients.depart(100, new AbortController().signal);
    await pass(harness.clock, 2000);
    await departed;
    expect(slow.socket.closedWith).toBeUndefined();
    slow.socket.reads = true;
    slow.socket.buffered = 0;
    await pass(harness.clock, 1000);
    expect(slow.socket.closedWith).toBe(1001);
    expect(slow.socket.envelopes).toHaveLength(8);
    harness.expectBalance();
  });
});

describe("A connection", () => {
  test("is ended about when it has max_connection_age, each at a time of its own, and counted", async () => {
    const harness = new Harness({
      maxClients: 1000,
      maxConnectionAgeMs: 100_000,
      pingIntervalMs: 1000,
    });
    let last = 0;
    Object.defineProperty(harness, "random", { get: () => (last = (last + 0.618) % 1) });
    const peers = Array.from({ length: 400 }, () => harness.joinV1());
    const ended: number[] = [];
    for (let ms = 0; ms < 112_000; ms += 250) {
      for (const { connection } of peers) if (!connection.isOver) connection.pong(new Uint8Array());
      harness.clock.advance(250);
      const count = peers.filter(({ socket }) => socket.closedWith !== undefined).length;
      while (ended.length < count) ended.push(ms);
    }
    expect(ended).toHaveLength(400);
    for (const count of perPart(
      ended.map((ms) => ms - 90_000),
      5000,
      4,
    ))
      expect(count).toBeWithin(75, 125);
    expect(peers[0]?.socket.closedWith).toBe(4514);
    expect(peers[0]?.socket.notices.at(-1)).toMatchObject({
      ...{ type: "disconnect", code: 4514, reason: "connection too old", reconnect: true },
      retry_after_ms: expect.any(Number),
    });
    expect(harness.meter.disconnections.get("too_old")).toBe(400);
    expect(harness.meter.errorsTotal).toBe(0);
  });

  test("is not ended for its age without max_connection_age", () => {
    const harness = new Harness();
    const { connection, socket } = harness.joinV1();
    for (let hour = 0; hour < 48; hour++) {
      for (let minute = 0; minute < 120; minute++) {
        connection.pong(new Uint8Array());
        harness.clock.advance(30_000);
      }
    }
    expect(socket.closedWith).toBeUndefined();
  });
});
