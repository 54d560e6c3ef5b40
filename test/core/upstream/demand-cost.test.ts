import { describe, expect, test } from "bun:test";
import { Demand } from "../../../src/core/upstream/demand.ts";
import { DemandBench, NO } from "./demand-harness.ts";

/** 0 to `count` - 1, as parts of patterns. */
function numbered(count: number, pattern: (n: number) => string): string[] {
  return Array.from({ length: count }, (_, n) => pattern(n));
}

/** Any `count` of `length` tokens are "*": none of these covers another one, and all match one subject. */
function antichain(length: number, count: number): string[] {
  const patterns: string[] = [];
  const add = (tokens: string[], left: number): void => {
    if (tokens.length === length) {
      if (left === 0) patterns.push(tokens.join("."));
      return;
    }
    if (left > 0) add([...tokens, "*"], left - 1);
    add([...tokens, "a"], left);
  };
  add([], count);
  return patterns;
}

/** Turns until nothing is left to be done. */
function settle({ clock, demand }: DemandBench): number {
  let turns = 0;
  for (let before = -1; demand.steps !== before; turns++) {
    before = demand.steps;
    clock.advance(1);
  }
  return turns;
}

/** What many patterns cost, counted in patterns and branches that are looked at. */
describe("Demand costs what changes", () => {
  const COUNT = 2_000;
  const kinds: Record<string, string[]> = {
    "wildcards that are all others": numbered(COUNT, (n) => `a.${n}.>`),
    "wildcards with the same end": numbered(COUNT, (n) => `*.x.${n}`),
    "wildcards at every place": antichain(13, 6).slice(0, COUNT),
    "one inside the other": numbered(60, (n) => `${"a.".repeat(60 - n)}>`),
    "subjects that one pattern covers": [...numbered(COUNT, (n) => `a.${n}`), "a.*"],
    "subjects and a pattern that covers none": numbered(COUNT, (n) =>
      n % 2 === 0 ? `${n}.x` : `*.y.${n}`,
    ),
  };
  for (const [kind, patterns] of Object.entries(kinds)) {
    test(`of ${kind}: to come, to be cut off, to be refused, and to go`, () => {
      const bench = new DemandBench();
      const most = 1_200 * patterns.length;
      const cost = (act: () => void): number => {
        const before = bench.demand.steps;
        act();
        settle(bench);
        return bench.demand.steps - before;
      };
      expect(cost(() => void bench.want(...patterns))).toBeLessThan(most);
      const again = (): void => {
        bench.source.confirmed.clear();
        bench.demand.cutOff();
        bench.source.confirmAll();
      };
      expect(cost(again)).toBeLessThan(most);
      // All that was found to be covered is known now.
      expect(cost(again)).toBeLessThan(20 * patterns.length);
      expect(
        cost(() => {
          for (const pattern of [...bench.source.patterns]) bench.demand.refused(pattern, NO);
        }),
      ).toBeLessThan(most);
      expect(cost(again)).toBeLessThan(most);
      expect(cost(() => bench.demand.release(patterns))).toBeLessThan(most);
      expect(bench.patterns).toEqual([]);
      expect(bench.demand.pending).toBe(0);
      expect(bench.clock.timers).toBe(0);
    });
  }

  test("however many others there are", () => {
    const bench = new DemandBench();
    bench.want(...numbered(20_000, (n) => `${n}.a.b`));
    const before = bench.demand.steps;
    bench.want("*.a.c", "*.x.>", "1.a.*", "x.y");
    settle(bench);
    bench.demand.release(["*.a.c", "*.x.>", "x.y"]);
    settle(bench);
    expect(bench.demand.steps - before).toBeLessThan(5_000);
  });
});

describe("Demand does what changes very much little by little", () => {
  /** How often the source is asked in one turn. */
  function mostAtOnce(bench: DemandBench, act: () => void): number {
    let before = bench.source.calls;
    act();
    let most = bench.source.calls - before;
    for (;;) {
      before = bench.source.calls;
      const { steps } = bench.demand;
      bench.clock.advance(1);
      if (bench.demand.steps === steps) return most;
      most = Math.max(most, bench.source.calls - before);
    }
  }
  const subjects = numbered(5_000, (n) => `a.${n}`);

  test("when a pattern covers very many, and when it goes", () => {
    const bench = new DemandBench({}, 500);
    for (const subject of subjects) bench.want(subject);
    expect(mostAtOnce(bench, () => void bench.want("a.>"))).toBeLessThanOrEqual(501);
    expect(bench.patterns).toEqual(["a.>"]);
    expect(mostAtOnce(bench, () => bench.demand.release(["a.>"]))).toBeLessThanOrEqual(501);
    expect(bench.patterns).toEqual(subjects.toSorted());
  });

  test("when very many go at once, and the last ones that lingered long enough", () => {
    const bench = new DemandBench({ upstreamLingerMs: 1000, maxLingering: 10_000 }, 500);
    bench.want(...subjects);
    bench.demand.release(subjects);
    expect(bench.clock.timers).toBe(1);
    expect(mostAtOnce(bench, () => bench.clock.advance(1000))).toBeLessThanOrEqual(501);
    expect(bench.patterns).toEqual([]);
    expect(bench.clock.timers).toBe(0);
  });

  test("and goes on where a pattern that went is wanted again meanwhile", () => {
    const bench = new DemandBench({}, 10);
    for (const subject of subjects.slice(0, 100)) bench.want(subject);
    bench.want("a.>");
    settle(bench);
    bench.demand.release(["a.>"]);
    expect(bench.patterns).toHaveLength(11);
    expect(bench.want("a.>").known).toBe(true);
    settle(bench);
    expect(bench.patterns).toEqual(["a.>"]);
  });
});

describe("Demand that lingers has a bound", () => {
  test("of patterns: the one that nobody has wanted the longest goes first", () => {
    const bench = new DemandBench({ upstreamLingerMs: 1000, maxLingering: 2 });
    for (const subject of ["a", "b", "c", "a", "d"]) {
      bench.want(subject);
      bench.demand.release([subject]);
    }
    expect(bench.patterns).toEqual(["a", "d"]);
    expect(bench.demand.lingering).toBe(2);
  });

  test("of bytes", () => {
    const bench = new DemandBench({ upstreamLingerMs: 1000, maxLingeringBytes: 10 });
    for (const subject of ["aaaa", "bbb", "€"]) {
      bench.want(subject);
      bench.demand.release([subject]);
    }
    expect(bench.patterns).toEqual(["aaaa", "bbb", "€"]);
    bench.want("c");
    bench.demand.release(["c"]);
    expect(bench.patterns).toEqual(["bbb", "c", "€"]);
    bench.want("x".repeat(11));
    bench.demand.release(["x".repeat(11)]);
    expect(bench.patterns).toEqual([]);
  });

  test("of what it takes to come and go in a loop", () => {
    const bench = new DemandBench({ upstreamLingerMs: 1000, maxLingering: 100 });
    for (let n = 0; n < 10_000; n++) {
      bench.want(`a.${n}`);
      bench.demand.release([`a.${n}`]);
      expect(bench.source.patterns.size).toBeLessThanOrEqual(101);
    }
  });
});

test("Demand remembers no more waiters than there are, whoever comes and goes while the source is away", () => {
  const bench = new DemandBench();
  bench.source.confirms = false;
  let asked = 0;
  bench.want("a");
  for (let n = 0; n < 1_000; n++) {
    let goesOn = true;
    const looked = (): boolean => {
      asked++;
      return goesOn;
    };
    bench.demand.want(["a"], () => expect(goesOn).toBe(true), looked);
    bench.demand.release(["a"]);
    goesOn = false;
  }
  // They are looked at when there are too many of them, and then forgotten.
  expect(asked).toBeGreaterThan(900);
  expect(asked).toBeLessThan(2_000);
  expect(bench.demand).toBeInstanceOf(Demand);
});

test("Demand does not subscribe to what was released while others were told", () => {
  const bench = new DemandBench();
  bench.source.confirms = false;
  bench.want("a.>");
  bench.demand.want(["a.1"], () => bench.demand.release(["a.2"]));
  bench.want("a.2");
  // "a.>" is refused, and "a.1" comes by itself at once: whoever waits for it lets "a.2" go.
  bench.source.confirms = true;
  bench.demand.refused("a.>", NO);
  expect(bench.patterns).toEqual(["a.1", "a.>"]);
  bench.want("a.2");
  expect(bench.patterns).toEqual(["a.1", "a.2", "a.>"]);
});
