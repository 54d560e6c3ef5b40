import { describe, expect, test } from "bun:test";
import { memoryOf, PatternBudget } from "../../../src/core/subscribe/pattern-budget.ts";
import { PLAIN, SSE } from "../../../src/core/wire/dialect.ts";
import { Harness, type TestClient } from "../support/harness.ts";

/** Asks for patterns, and says what was answered. */
function ask(peer: TestClient, id: string, subjects: readonly string[]) {
  const before = peer.socket.frames.length;
  peer.send({ type: "subscribe", id, subjects });
  const said = peer.socket.frames.slice(before).at(-1) as unknown as {
    type: string;
    error?: { code: string; message: string; retryable: boolean };
  };
  return said.error ?? said.type;
}

const numbered = (count: number, prefix: string): string[] =>
  Array.from({ length: count }, (_, n) => `${prefix}.${n}`);

describe("Patterns of a client", () => {
  test("are no more than max_patterns in all its subscriptions, until it gives some back", () => {
    const harness = new Harness({ maxPatterns: 10, maxFrameBytes: 10_000 });
    const client = harness.joinV1();
    expect(ask(client, "1", numbered(8, "a"))).toBe("subscribed");
    expect(ask(client, "2", numbered(3, "b"))).toMatchObject({
      code: "too_many_subscriptions",
      message: "a client may have at most 10 patterns",
      retryable: false,
    });
    client.send({ type: "unsubscribe", sub: "1" });
    expect(ask(client, "2", numbered(3, "b"))).toBe("subscribed");
  });

  test("have no more bytes than max_pattern_bytes, in UTF-8", () => {
    const harness = new Harness({ maxPatternBytes: 30, maxFrameBytes: 10_000 });
    const client = harness.joinV1();
    expect(ask(client, "1", ["€".repeat(8)])).toBe("subscribed");
    expect(ask(client, "2", ["€€"])).toBe("subscribed");
    expect(ask(client, "3", ["a"])).toMatchObject({ code: "too_many_subscriptions" });
  });

  test("are different ones of all clients together, and there is room for those who ask for what is there", () => {
    const harness = new Harness({ maxUpstreamPatterns: 100, maxFrameBytes: 100_000 });
    const greedy = Array.from({ length: 30 }, () => harness.joinV1());
    const answers = greedy.map((client, n) => ask(client, "1", numbered(20, `g${n}`)));
    // As much as an eighth of what is free.
    expect(answers.every((answer) => answer !== "subscribed")).toBe(true);
    expect(answers[0]).toMatchObject({ code: "too_many_subscriptions", retryable: true });
    for (const [n, client] of greedy.entries()) ask(client, "2", numbered(12, `g${n}`));
    for (const [n, client] of greedy.entries()) ask(client, "3", numbered(8, `h${n}`));
    expect(harness.source.patterns.size).toBeLessThanOrEqual(100);
    const late = harness.joinV1();
    const there = [...harness.source.patterns].slice(0, 20);
    expect(ask(late, "1", there)).toBe("subscribed");
  });

  test("make room when they only linger", () => {
    const harness = new Harness({ maxUpstreamPatterns: 10, upstreamLingerMs: 60_000 });
    const client = harness.joinV1();
    for (let n = 0; n < 30; n++) {
      expect(ask(client, `${n}`, numbered(8, `a${n}`))).toBe("subscribed");
      client.send({ type: "unsubscribe", sub: `${n}` });
      expect(harness.source.patterns.size).toBeLessThanOrEqual(10);
    }
  });

  test("have a bound for all clients and sessions together, of which each has a share", () => {
    const harness = new Harness({ maxTotalPatternBytes: 20_000, maxFrameBytes: 100_000 });
    let taken = 0;
    for (let n = 0; n < 50; n++) {
      // All of them the same: they cost NATS nothing.
      if (ask(harness.joinV1(), "1", numbered(20, "same")) === "subscribed") taken++;
    }
    expect(taken).toBeGreaterThan(3);
    expect(taken).toBeLessThan(15);
    // Whoever wants little still finds room.
    expect(ask(harness.joinV1(), "1", ["small"])).toBe("subscribed");
  });

  test("that are exposed only in part are not longer than NATS takes, nor is anything thrown", () => {
    const long = "x".repeat(2000);
    const harness = new Harness({ subjects: [`${long}.>`], maxFrameBytes: 100_000 });
    const client = harness.joinV1();
    expect(ask(client, "1", [`*.${"y".repeat(2000)}`])).toMatchObject({ code: "invalid_subject" });
    expect(harness.source.calls).toBe(0);
  });

  test("end a client that can't ask for others with a way to come back, if there was no room", () => {
    for (const dialect of [PLAIN, SSE]) {
      const harness = new Harness({ maxUpstreamPatterns: 1 });
      harness.joinWith({ id: "", subjects: ["a"] }, dialect);
      const late = harness.joinWith({ id: "", subjects: ["b"] }, dialect);
      expect(late.socket.closedWith).toBe(4503);
    }
  });
});

test("Sessions without a connection count what their patterns take, and are given up past their bound", () => {
  const harness = new Harness({
    deliveryMode: "at-least-once",
    maxFrameBytes: 100_000,
    maxSessionBytes: 100_000,
  });
  const { sessions } = harness.broadcaster;
  const bytesOf = (count: number): number => {
    const client = harness.joinV1();
    expect(ask(client, "1", numbered(count, "x".repeat(20)))).toBe("subscribed");
    const before = sessions.detachedBytes;
    client.connection.closed(1006);
    return sessions.detachedBytes - before;
  };
  expect(bytesOf(60)).toBeGreaterThan(60 * 2 * 22);
  for (let n = 0; n < 20; n++) bytesOf(60);
  expect(sessions.detachedBytes).toBeLessThanOrEqual(100_000);
  expect(harness.meter.sessionsDetached).toBeLessThan(5);
  harness.expectBalance();
});

test("PatternBudget counts what is given back", () => {
  const budget = new PatternBudget({
    maxPatterns: 10,
    maxPatternBytes: 100,
    maxTotalPatternBytes: 1_000,
  });
  const cost = budget.costOf([["a.b", "c"], "everything", ["€"]]);
  expect(cost).toEqual({ patterns: 3, bytes: 7, tokens: 4 });
  expect(memoryOf(cost)).toBe(2 * 7 + 3 * 64 + 4 * 128);
  const none = budget.costOf([]);
  for (let n = 0; n < 100; n++) {
    expect(budget.hasRoom(cost, cost)).toBe(true);
    budget.changed(none, cost);
    budget.changed(cost, none);
  }
});
