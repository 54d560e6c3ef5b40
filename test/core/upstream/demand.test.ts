import { describe, expect, test } from "bun:test";
import { DemandBench, NO } from "./demand-harness.ts";

describe("Demand", () => {
  test("subscribes to each pattern once, and to none that nobody wants any more", () => {
    const { demand, source, ...bench } = new DemandBench();
    demand.want(["a", "b.*"]);
    demand.want(["a"]);
    expect([...source.patterns]).toEqual(["a", "b.*"]);
    expect(demand.subscriptions).toBe(2);
    demand.release(["a", "b.*"]);
    expect([...source.patterns]).toEqual(["a"]);
    demand.release(["a"]);
    expect([...source.patterns]).toEqual([]);
    expect(bench.clock.timers).toBe(0);
  });

  test("of all that is exposed is that, and of nothing that is exposed is nothing", () => {
    const bench = new DemandBench({ subjects: ["a.>", "b"] });
    bench.demand.want(undefined);
    bench.want("c");
    expect(bench.patterns).toEqual(["a.>", "b"]);
    bench.demand.release(undefined);
    expect(bench.patterns).toEqual([]);
  });

  test("is no more than what is exposed of what is wanted", () => {
    const bench = new DemandBench({ subjects: ["a.>", "b.*.c"] });
    bench.want(">");
    expect(bench.patterns).toEqual(["a.>", "b.*.c"]);
    const other = new DemandBench({ subjects: ["a.>", "b.*.c"] });
    other.want("*.x.*");
    expect(other.patterns).toEqual(["a.x.*", "b.x.c"]);
  });

  test("that is eager subscribes to all that is exposed at once, and always", () => {
    const bench = new DemandBench({ subjects: ["a.>", "b"], upstream: "eager" });
    expect(bench.patterns).toEqual(["a.>", "b"]);
    bench.want("a.x", "b");
    bench.demand.release(["a.x", "b"]);
    bench.demand.stop();
    expect(bench.patterns).toEqual(["a.>", "b"]);
  });
});

describe("Demand for what a wider pattern covers", () => {
  test("is not subscribed to", () => {
    const bench = new DemandBench();
    bench.want("a.>");
    expect(bench.want("a.b").known).toBe(true);
    expect(bench.patterns).toEqual(["a.>"]);
  });

  test("is given up once the wider one arrives, and not before", () => {
    const bench = new DemandBench();
    bench.want("a.b", "a.c.*", "b");
    bench.source.confirms = false;
    bench.want("a.>");
    expect(bench.patterns).toEqual(["a.>", "a.b", "a.c.*", "b"]);
    bench.source.confirm("a.>");
    expect(bench.patterns).toEqual(["a.>", "b"]);
  });

  test("is subscribed to before the wider one is given up", () => {
    const bench = new DemandBench();
    bench.want("a.>");
    bench.want("a.b");
    bench.want("a.c");
    bench.source.confirms = false;
    bench.demand.release(["a.>"]);
    expect(bench.patterns).toEqual(["a.>", "a.b", "a.c"]);
    bench.source.confirm("a.b");
    expect(bench.patterns).toEqual(["a.>", "a.b", "a.c"]);
    bench.source.confirm("a.c");
    expect(bench.patterns).toEqual(["a.b", "a.c"]);
  });

  test("keeps the wider one even when that is wanted and released again meanwhile", () => {
    const bench = new DemandBench();
    bench.want("a.>");
    bench.want("a.b");
    bench.source.confirms = false;
    bench.demand.release(["a.>"]);
    expect(bench.want("a.>").known).toBe(true);
    bench.demand.release(["a.>"]);
    expect(bench.source.carries("a.b")).toBe(true);
    bench.source.confirmAll();
    expect(bench.patterns).toEqual(["a.b"]);
  });

  test("lets the wider one go when it is itself released before it arrives", () => {
    const bench = new DemandBench();
    bench.want("a.>");
    bench.want("a.b");
    bench.source.confirms = false;
    bench.demand.release(["a.>"]);
    bench.demand.release(["a.b"]);
    expect(bench.patterns).toEqual([]);
  });

  test("lets the wider one go when another one covers it", () => {
    const bench = new DemandBench();
    bench.want("a.>");
    bench.want("a.b");
    bench.source.confirms = false;
    bench.demand.release(["a.>"]);
    bench.want(">");
    bench.source.confirm(">");
    expect(bench.patterns).toEqual([">"]);
  });

  test("waits with it for the source's word", () => {
    const bench = new DemandBench();
    bench.source.confirms = false;
    const [wide, narrow] = [bench.want("a.>"), bench.want("a.b")];
    expect([wide.known, narrow.known, bench.demand.pending]).toEqual([undefined, undefined, 2]);
    bench.source.confirm("a.>");
    expect([wide.known, narrow.known, bench.demand.pending]).toEqual([true, true, 0]);
  });

  test("goes by itself when the source may not subscribe to the wider one", () => {
    const bench = new DemandBench();
    bench.source.confirms = false;
    const [wide, narrow] = [bench.want("a.>"), bench.want("a.b")];
    bench.demand.refused("a.>", NO);
    expect([wide.known, narrow.known]).toEqual([NO, undefined]);
    expect(bench.patterns).toEqual(["a.>", "a.b"]);
    bench.source.confirm("a.b");
    expect(narrow.known).toBe(true);
    expect(bench.want("a.c").known).toBeUndefined();
    expect(bench.patterns).toEqual(["a.>", "a.b", "a.c"]);
    bench.source.confirm("a.>");
    expect(bench.patterns).toEqual(["a.>"]);
  });
});

describe("Demand that lingers", () => {
  test("is given up when nobody has wanted it for so long", () => {
    const bench = new DemandBench({ upstreamLingerMs: 1000 });
    bench.want("a");
    bench.demand.release(["a"]);
    bench.clock.advance(999);
    expect(bench.patterns).toEqual(["a"]);
    bench.clock.advance(1);
    expect(bench.patterns).toEqual([]);
  });

  test("is there at once for who comes back, without a gap", () => {
    const bench = new DemandBench({ upstreamLingerMs: 1000 });
    bench.want("a");
    const since = bench.demand.completeSince(["a"]);
    bench.demand.release(["a"]);
    bench.sequence = 100;
    bench.clock.advance(500);
    expect(bench.want("a").known).toBe(true);
    bench.clock.advance(5000);
    expect(bench.patterns).toEqual(["a"]);
    expect(bench.demand.completeSince(["a"])).toEqual(since);
    expect(bench.source.calls).toBe(1);
  });

  test("ends when it is stopped, with its timers", () => {
    const bench = new DemandBench({ upstreamLingerMs: 1000 });
    bench.want("a.>", "b");
    bench.want("a.b");
    bench.demand.release(["a.>", "b"]);
    bench.demand.stop();
    expect(bench.clock.timers).toBe(0);
    expect(bench.patterns).toEqual(["a.b"]);
  });
});

describe("Demand is complete", () => {
  test("since the source has confirmed the last of its patterns", () => {
    const bench = new DemandBench();
    bench.source.confirms = false;
    const both = bench.want("a", "b");
    bench.sequence = 5;
    bench.source.confirm("a");
    expect(both.known).toBeUndefined();
    expect(bench.demand.completeSince(["a"])).toEqual({ sequence: 5, number: 1 });
    expect(bench.demand.completeSince(["a", "b"])).toBeUndefined();
    bench.sequence = 7;
    bench.source.confirm("b");
    expect(both.known).toBe(true);
    expect(bench.demand.completeSince(["a", "b"])).toEqual({ sequence: 7, number: 2 });
  });

  test("for what a wider one covers, since that arrived or it itself did", () => {
    const bench = new DemandBench();
    bench.want("a.b");
    bench.sequence = 3;
    bench.want("a.>");
    bench.sequence = 5;
    bench.want("a.c");
    const since = ["a.b", "a.c", "a.>"].map((subject) => bench.demand.completeSince([subject]));
    expect(since.map((arrival) => arrival?.sequence)).toEqual([0, 3, 3]);
  });

  test("no more when the source was cut off, until it is confirmed anew", () => {
    const bench = new DemandBench();
    bench.want("a");
    bench.demand.cutOff();
    expect(bench.demand.completeSince(["a"])).toBeUndefined();
    bench.sequence = 9;
    bench.demand.arrives("a");
    expect(bench.demand.completeSince(["a"])).toEqual({ sequence: 9, number: 2 });
  });

  test("never, as long as the source may not subscribe", () => {
    const bench = new DemandBench();
    bench.source.confirms = false;
    expect(bench.want("a").known).toBeUndefined();
    bench.demand.refused("a", NO);
    expect(bench.want("a").known).toEqual(NO);
    expect(bench.demand.completeSince(["a"])).toBeUndefined();
    expect(bench.demand.pending).toBe(0);
    bench.source.confirm("a");
    expect(bench.want("a").known).toBe(true);
  });

  test("whatever the source says of what it was not asked for", () => {
    const bench = new DemandBench();
    bench.want("a.>", "b");
    bench.want("a.b");
    bench.demand.arrives("a.b");
    bench.demand.arrives("c");
    bench.demand.refused("c", NO);
    expect(bench.patterns).toEqual(["a.>", "b"]);
  });
});

describe("Demand of 10,000 exact subjects", () => {
  test("asks the source once for each, to come and to go", () => {
    const bench = new DemandBench();
    const subjects = Array.from({ length: 10_000 }, (_, n) => `a.${n}`);
    const startMs = performance.now();
    for (const subject of subjects) bench.want(subject);
    expect(bench.demand.subscriptions).toBe(10_000);
    for (const subject of subjects) bench.demand.release([subject]);
    expect(bench.source.calls).toBe(20_000);
    // Were each compared with each, it would be a hundred million comparisons.
    expect(performance.now() - startMs).toBeLessThan(3000);
    expect(bench.patterns).toEqual([]);
  });
});
