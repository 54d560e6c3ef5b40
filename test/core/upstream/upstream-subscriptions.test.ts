import { describe, expect, test } from "bun:test";
import { NO, UpstreamHarness } from "./upstream-harness.ts";

describe("UpstreamSubscriptions", () => {
  test("subscribes to each pattern once, and to none that nobody wants any more", () => {
    const { upstream, source, ...harness } = new UpstreamHarness();
    upstream.acquire(["a", "b.*"]);
    upstream.acquire(["a"]);
    expect([...source.patterns]).toEqual(["a", "b.*"]);
    expect(upstream.subscriptions).toBe(2);
    upstream.release(["a", "b.*"]);
    expect([...source.patterns]).toEqual(["a"]);
    upstream.release(["a"]);
    expect([...source.patterns]).toEqual([]);
    expect(harness.clock.timers).toBe(0);
  });

  test("of all that is exposed is that, and of nothing that is exposed is nothing", () => {
    const harness = new UpstreamHarness({ subjects: ["a.>", "b"] });
    harness.upstream.acquire(undefined);
    harness.acquire("c");
    expect(harness.patterns).toEqual(["a.>", "b"]);
    harness.upstream.release(undefined);
    expect(harness.patterns).toEqual([]);
  });

  test("is no more than what is exposed of what is wanted", () => {
    const harness = new UpstreamHarness({ subjects: ["a.>", "b.*.c"] });
    harness.acquire(">");
    expect(harness.patterns).toEqual(["a.>", "b.*.c"]);
    const other = new UpstreamHarness({ subjects: ["a.>", "b.*.c"] });
    other.acquire("*.x.*");
    expect(other.patterns).toEqual(["a.x.*", "b.x.c"]);
  });

  test("that is eager subscribes to all that is exposed at once, and always", () => {
    const harness = new UpstreamHarness({ subjects: ["a.>", "b"], upstream: "eager" });
    expect(harness.patterns).toEqual(["a.>", "b"]);
    harness.acquire("a.x", "b");
    harness.upstream.release(["a.x", "b"]);
    harness.upstream.stop();
    expect(harness.patterns).toEqual(["a.>", "b"]);
  });
});

describe("UpstreamSubscriptions: what a wider pattern covers", () => {
  test("is not subscribed to", () => {
    const harness = new UpstreamHarness();
    harness.acquire("a.>");
    expect(harness.acquire("a.b").known).toBe(true);
    expect(harness.patterns).toEqual(["a.>"]);
  });

  test("is given up once the wider one arrives, and not before", () => {
    const harness = new UpstreamHarness();
    harness.acquire("a.b", "a.c.*", "b");
    harness.source.confirms = false;
    harness.acquire("a.>");
    expect(harness.patterns).toEqual(["a.>", "a.b", "a.c.*", "b"]);
    harness.source.confirm("a.>");
    expect(harness.patterns).toEqual(["a.>", "b"]);
  });

  test("is subscribed to before the wider one is given up", () => {
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

  test("keeps the wider one even when that is wanted and released again meanwhile", () => {
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

  test("lets the wider one go when it is itself released before it arrives", () => {
    const harness = new UpstreamHarness();
    harness.acquire("a.>");
    harness.acquire("a.b");
    harness.source.confirms = false;
    harness.upstream.release(["a.>"]);
    harness.upstream.release(["a.b"]);
    expect(harness.patterns).toEqual([]);
  });

  test("lets the wider one go when another one covers it", () => {
    const harness = new UpstreamHarness();
    harness.acquire("a.>");
    harness.acquire("a.b");
    harness.source.confirms = false;
    harness.upstream.release(["a.>"]);
    harness.acquire(">");
    harness.source.confirm(">");
    expect(harness.patterns).toEqual([">"]);
  });

  test("waits with it for the source's word", () => {
    const harness = new UpstreamHarness();
    harness.source.confirms = false;
    const [wide, narrow] = [harness.acquire("a.>"), harness.acquire("a.b")];
    expect([wide.known, narrow.known, harness.upstream.pending]).toEqual([undefined, undefined, 2]);
    harness.source.confirm("a.>");
    expect([wide.known, narrow.known, harness.upstream.pending]).toEqual([true, true, 0]);
  });

  test("goes by itself when the source may not subscribe to the wider one", () => {
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

describe("UpstreamSubscriptions that lingers", () => {
  test("is given up when nobody has wanted it for so long", () => {
    const harness = new UpstreamHarness({ upstreamLingerMs: 1000 });
    harness.acquire("a");
    harness.upstream.release(["a"]);
    harness.clock.advance(999);
    expect(harness.patterns).toEqual(["a"]);
    harness.clock.advance(1);
    expect(harness.patterns).toEqual([]);
  });

  test("is there at once for who comes back, without a gap", () => {
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

  test("ends when it is stopped, with its timers", () => {
    const harness = new UpstreamHarness({ upstreamLingerMs: 1000 });
    harness.acquire("a.>", "b");
    harness.acquire("a.b");
    harness.upstream.release(["a.>", "b"]);
    harness.upstream.stop();
    expect(harness.clock.timers).toBe(0);
    expect(harness.patterns).toEqual(["a.b"]);
  });
});

describe("UpstreamSubscriptions is complete", () => {
  test("since the source has confirmed the last of its patterns", () => {
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

  test("for what a wider one covers, since that arrived or it itself did", () => {
    const harness = new UpstreamHarness();
    harness.acquire("a.b");
    harness.sequence = 3;
    harness.acquire("a.>");
    harness.sequence = 5;
    harness.acquire("a.c");
    const since = ["a.b", "a.c", "a.>"].map((subject) => harness.upstream.completeSince([subject]));
    expect(since.map((arrival) => arrival?.sequence)).toEqual([0, 3, 3]);
  });

  test("no more when the source was cut off, until it is confirmed anew", () => {
    const harness = new UpstreamHarness();
    harness.acquire("a");
    harness.upstream.cutOff();
    expect(harness.upstream.completeSince(["a"])).toBeUndefined();
    harness.sequence = 9;
    harness.upstream.arrives("a");
    expect(harness.upstream.completeSince(["a"])).toEqual({ sequence: 9, number: 2 });
  });

  test("never, as long as the source may not subscribe", () => {
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

  test("whatever the source says of what it was not asked for", () => {
    const harness = new UpstreamHarness();
    harness.acquire("a.>", "b");
    harness.acquire("a.b");
    harness.upstream.arrives("a.b");
    harness.upstream.arrives("c");
    harness.upstream.refused("c", NO);
    expect(harness.patterns).toEqual(["a.>", "b"]);
  });
});

describe("UpstreamSubscriptions of 10,000 exact subjects", () => {
  test("asks the source once for each, to come and to go", () => {
    const harness = new UpstreamHarness();
    const subjects = Array.from({ length: 10_000 }, (_, n) => `a.${n}`);
    const startMs = performance.now();
    for (const subject of subjects) harness.acquire(subject);
    expect(harness.upstream.subscriptions).toBe(10_000);
    for (const subject of subjects) harness.upstream.release([subject]);
    expect(harness.source.calls).toBe(20_000);
    // Were each compared with each, it would be a hundred million comparisons.
    expect(performance.now() - startMs).toBeLessThan(3000);
    expect(harness.patterns).toEqual([]);
  });
});
