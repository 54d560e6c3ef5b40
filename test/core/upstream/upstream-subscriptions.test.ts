import { describe, expect, test } from "bun:test";
import { NO, UpstreamHarness } from "./upstream-harness.ts";

describe("UpstreamSubscriptions", () => {
  test("subscribes to each pattern once, until its last user leaves", () => {
    const harness = new UpstreamHarness();
    harness.upstream.acquire(["a", "b.*"]);
    harness.upstream.acquire(["a"]);
    expect([...harness.source.patterns]).toEqual(["a", "b.*"]);
    expect(harness.upstream.subscriptions).toBe(2);
    harness.upstream.release(["a", "b.*"]);
    expect([...harness.source.patterns]).toEqual(["a"]);
    harness.upstream.release(["a"]);
    expect([...harness.source.patterns]).toEqual([]);
    expect(harness.timers).toBe(0);
  });

  test("subscribes to all exposed patterns for a client that names none, and to nothing that is not exposed", () => {
    const harness = new UpstreamHarness({ demanded: ["a.>", "b"] });
    const everything = harness.upstream.acquire("everything");
    harness.acquire("c");
    expect(harness.patterns).toEqual(["a.>", "b"]);
    harness.upstream.release(everything);
    expect(harness.patterns).toEqual([]);
  });

  test("subscribes only to the exposed part of a pattern", () => {
    const harness = new UpstreamHarness({ demanded: ["a.>", "b.*.c"] });
    harness.acquire(">");
    expect(harness.patterns).toEqual(["a.>", "b.*.c"]);
    const other = new UpstreamHarness({ demanded: ["a.>", "b.*.c"] });
    other.acquire("*.x.*");
    expect(other.patterns).toEqual(["a.x.*", "b.x.c"]);
  });

  test("subscribes to all exposed patterns from the start, and for ever, when it is eager", () => {
    const harness = new UpstreamHarness({ demanded: ["a.>", "b"], upstream: "eager" });
    expect(harness.patterns).toEqual(["a.>", "b"]);
    harness.acquire("a.x", "b");
    harness.upstream.release(["a.x", "b"]);
    harness.stop();
    expect(harness.patterns).toEqual(["a.>", "b"]);
  });
});

describe("UpstreamSubscriptions, for a pattern that a wider one covers,", () => {
  test("does not subscribe to it", () => {
    const harness = new UpstreamHarness();
    harness.acquire("a.>");
    expect(harness.acquire("a.b").known).toBe(true);
    expect(harness.patterns).toEqual(["a.>"]);
  });

  test("unsubscribes from it once the wider one arrives, and not before", () => {
    const harness = new UpstreamHarness();
    harness.acquire("a.b", "a.c.*", "b");
    harness.source.confirms = false;
    harness.acquire("a.>");
    expect(harness.patterns).toEqual(["a.>", "a.b", "a.c.*", "b"]);
    harness.source.confirm("a.>");
    expect(harness.patterns).toEqual(["a.>", "b"]);
  });

  test("subscribes to it before it gives up the wider one", () => {
    const harness = new UpstreamHarness();
    harness.acquire("a.>");
    harness.acquire("a.b");
    harness.acquire("a.c");
    harness.source.confirms = false;
    harness.upstream.release(["a.>"]);
    expect(harness.patterns).toEqual(["a.>", "a.b", "a.c"]);
    harness.source.confirm("a.b");
    expect(harness.patterns).toEqual(["a.>", "a.b", "a.c"]);
    harness.source.confirm("a.c");
    expect(harness.patterns).toEqual(["a.b", "a.c"]);
  });

  test("keeps the wider one when that is acquired and released again meanwhile", () => {
    const harness = new UpstreamHarness();
    harness.acquire("a.>");
    harness.acquire("a.b");
    harness.source.confirms = false;
    harness.upstream.release(["a.>"]);
    expect(harness.acquire("a.>").known).toBe(true);
    harness.upstream.release(["a.>"]);
    expect(harness.source.carries("a.b")).toBe(true);
    harness.source.confirmAll();
    expect(harness.patterns).toEqual(["a.b"]);
  });

  test("gives up the wider one when the narrow one is released before it arrives", () => {
    const harness = new UpstreamHarness();
    harness.acquire("a.>");
    harness.acquire("a.b");
    harness.source.confirms = false;
    harness.upstream.release(["a.>"]);
    harness.upstream.release(["a.b"]);
    expect(harness.patterns).toEqual([]);
  });

  test("gives up the wider one when another one covers it", () => {
    const harness = new UpstreamHarness();
    harness.acquire("a.>");
    harness.acquire("a.b");
    harness.source.confirms = false;
    harness.upstream.release(["a.>"]);
    harness.acquire(">");
    harness.source.confirm(">");
    expect(harness.patterns).toEqual([">"]);
  });

  test("is pending until the source confirms the wider one", () => {
    const harness = new UpstreamHarness();
    harness.source.confirms = false;
    const [wide, narrow] = [harness.acquire("a.>"), harness.acquire("a.b")];
    expect([wide.known, narrow.known, harness.upstream.pending]).toEqual([undefined, undefined, 2]);
    harness.source.confirm("a.>");
    expect([wide.known, narrow.known, harness.upstream.pending]).toEqual([true, true, 0]);
  });

  test("subscribes to it when the source refuses the wider one", () => {
    const harness = new UpstreamHarness();
    harness.source.confirms = false;
    const [wide, narrow] = [harness.acquire("a.>"), harness.acquire("a.b")];
    harness.upstream.refused("a.>", NO);
    expect([wide.known, narrow.known]).toEqual([NO, undefined]);
    expect(harness.patterns).toEqual(["a.>", "a.b"]);
    harness.source.confirm("a.b");
    expect(narrow.known).toBe(true);
    expect(harness.acquire("a.c").known).toBeUndefined();
    expect(harness.patterns).toEqual(["a.>", "a.b", "a.c"]);
    harness.source.confirm("a.>");
    expect(harness.patterns).toEqual(["a.>"]);
  });
});

describe("UpstreamSubscriptions, for a pattern that lingers,", () => {
  test("unsubscribes when the linger time is over", () => {
    const harness = new UpstreamHarness({ upstreamLingerMs: 1000 });
    harness.acquire("a");
    harness.upstream.release(["a"]);
    harness.clock.advance(999);
    expect(harness.patterns).toEqual(["a"]);
    harness.clock.advance(1);
    expect(harness.patterns).toEqual([]);
  });

  test("serves a client that comes back at once, without a gap", () => {
    const harness = new UpstreamHarness({ upstreamLingerMs: 1000 });
    harness.acquire("a");
    const since = harness.upstream.completeSince(["a"]);
    harness.upstream.release(["a"]);
    harness.sequence = 100;
    harness.clock.advance(500);
    expect(harness.acquire("a").known).toBe(true);
    harness.clock.advance(5000);
    expect(harness.patterns).toEqual(["a"]);
    expect(harness.upstream.completeSince(["a"])).toEqual(since);
    expect(harness.source.calls).toBe(1);
  });

  test("ends when it stops, and leaves no timer", () => {
    const harness = new UpstreamHarness({ upstreamLingerMs: 1000 });
    harness.acquire("a.>", "b");
    harness.acquire("a.b");
    harness.upstream.release(["a.>", "b"]);
    harness.stop();
    expect(harness.clock.timers).toBe(0);
    expect(harness.patterns).toEqual(["a.b"]);
  });
});

describe("UpstreamSubscriptions are complete", () => {
  test("since the source confirmed the last of the patterns", () => {
    const harness = new UpstreamHarness();
    harness.source.confirms = false;
    const both = harness.acquire("a", "b");
    harness.sequence = 5;
    harness.source.confirm("a");
    expect(both.known).toBeUndefined();
    expect(harness.upstream.completeSince(["a"])).toEqual({ sequence: 5, number: 1 });
    expect(harness.upstream.completeSince(["a", "b"])).toBeUndefined();
    harness.sequence = 7;
    harness.source.confirm("b");
    expect(both.known).toBe(true);
    expect(harness.upstream.completeSince(["a", "b"])).toEqual({ sequence: 7, number: 2 });
  });

  test("for a covered pattern, since it or its cover arrived", () => {
    const harness = new UpstreamHarness();
    harness.acquire("a.b");
    harness.sequence = 3;
    harness.acquire("a.>");
    harness.sequence = 5;
    harness.acquire("a.c");
    const since = ["a.b", "a.c", "a.>"].map((subject) => harness.upstream.completeSince([subject]));
    expect(since.map((arrival) => arrival?.sequence)).toEqual([0, 3, 3]);
  });

  test("no longer when the source lost its connection, until it confirms again", () => {
    const harness = new UpstreamHarness();
    harness.acquire("a");
    harness.upstream.cutOff();
    expect(harness.upstream.completeSince(["a"])).toBeUndefined();
    harness.sequence = 9;
    harness.upstream.arrives("a");
    expect(harness.upstream.completeSince(["a"])).toEqual({ sequence: 9, number: 2 });
  });

  test("never, while the source refuses the pattern", () => {
    const harness = new UpstreamHarness();
    harness.source.confirms = false;
    expect(harness.acquire("a").known).toBeUndefined();
    harness.upstream.refused("a", NO);
    expect(harness.acquire("a").known).toEqual(NO);
    expect(harness.upstream.completeSince(["a"])).toBeUndefined();
    expect(harness.upstream.pending).toBe(0);
    harness.source.confirm("a");
    expect(harness.acquire("a").known).toBe(true);
  });

  test("whatever the source says about patterns that it was not asked for", () => {
    const harness = new UpstreamHarness();
    harness.acquire("a.>", "b");
    harness.acquire("a.b");
    harness.upstream.arrives("a.b");
    harness.upstream.arrives("c");
    harness.upstream.refused("c", NO);
    expect(harness.patterns).toEqual(["a.>", "b"]);
  });
});

describe("UpstreamSubscriptions to 10,000 exact subjects", () => {
  test("ask the source once for each, to subscribe and to unsubscribe", () => {
    const harness = new UpstreamHarness();
    const subjects = Array.from({ length: 10_000 }, (_, n) => `a.${n}`);
    const startMs = performance.now();
    for (const subject of subjects) harness.acquire(subject);
    expect(harness.upstream.subscriptions).toBe(10_000);
    for (const subject of subjects) harness.upstream.release([subject]);
    harness.clock.advance(0);
    expect(harness.source.calls).toBe(20_000);
    // Were each compared with each, it would be a hundred million comparisons.
    expect(performance.now() - startMs).toBeLessThan(3000);
    expect(harness.patterns).toEqual([]);
  });
});

test("What was acquired is released, whatever is exposed by then", () => {
  const harness = new UpstreamHarness({ demanded: ["a.>", "b.>"] });
  const everything = harness.upstream.acquire("everything");
  const some = harness.upstream.acquire(["*.x"]);
  expect([everything, some]).toEqual([
    ["a.>", "b.>"],
    ["a.x", "b.x"],
  ]);
  harness.options.demanded = ["b.>", "c.>"];
  harness.upstream.exposureChanged();
  const again = harness.upstream.acquire("everything");
  expect(harness.patterns).toEqual(["a.>", "b.>", "c.>"]);
  harness.upstream.release(everything);
  harness.upstream.release(some);
  expect(harness.patterns).toEqual(["b.>", "c.>"]);
  harness.upstream.release(again);
  expect(harness.patterns).toEqual([]);
});

test("A gateway that subscribes to everything from the start does so to what it exposes by then", () => {
  const harness = new UpstreamHarness({ demanded: ["a.>", "b.>"], upstream: "eager" });
  harness.options.demanded = ["b.>", "c.>"];
  harness.upstream.exposureChanged();
  expect(harness.patterns).toEqual(["b.>", "c.>"]);
});
