import { describe, expect, test } from "bun:test";
import { UpstreamSubscriptions } from "../../../src/core/upstream/upstream-subscriptions.ts";
import { NO, UpstreamHarness } from "./upstream-harness.ts";

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
function settle({ clock, upstream }: UpstreamHarness): number {
  let turns = 0;
  for (let before = -1; upstream.steps !== before; turns++) {
    before = upstream.steps;
    clock.advance(1);
  }
  return turns;
}

/** The cost of many patterns, counted in patterns and nodes that are looked at. */
describe("UpstreamSubscriptions cost as much as they change", () => {
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
      const harness = new UpstreamHarness();
      const most = 1_200 * patterns.length;
      const cost = (act: () => void): number => {
        const before = harness.upstream.steps;
        act();
        settle(harness);
        return harness.upstream.steps - before;
      };
      expect(cost(() => void harness.acquire(...patterns))).toBeLessThan(most);
      const again = (): void => {
        harness.source.confirmed.clear();
        harness.upstream.cutOff();
        harness.source.confirmAll();
      };
      expect(cost(again)).toBeLessThan(most);
      // All that was found to be covered is known now.
      expect(cost(again)).toBeLessThan(20 * patterns.length);
      expect(
        cost(() => {
          for (const pattern of [...harness.source.patterns]) harness.upstream.refused(pattern, NO);
        }),
      ).toBeLessThan(most);
      expect(cost(again)).toBeLessThan(most);
      expect(cost(() => harness.upstream.release(patterns))).toBeLessThan(most);
      expect(harness.patterns).toEqual([]);
      expect(harness.upstream.pending).toBe(0);
      expect(harness.timers).toBe(0);
    });
  }

  test("however many others there are", () => {
    const harness = new UpstreamHarness();
    harness.acquire(...numbered(20_000, (n) => `${n}.a.b`));
    const before = harness.upstream.steps;
    harness.acquire("*.a.c", "*.x.>", "1.a.*", "x.y");
    settle(harness);
    harness.upstream.release(["*.a.c", "*.x.>", "x.y"]);
    settle(harness);
    expect(harness.upstream.steps - before).toBeLessThan(5_000);
  });
});

describe("UpstreamSubscriptions share out large changes over turns", () => {
  /** How often the source is asked in one turn. */
  function mostAtOnce(harness: UpstreamHarness, act: () => void): number {
    let before = harness.source.calls;
    act();
    let most = harness.source.calls - before;
    for (;;) {
      before = harness.source.calls;
      const { steps } = harness.upstream;
      harness.clock.turn();
      if (harness.upstream.steps === steps) return most;
      most = Math.max(most, harness.source.calls - before);
    }
  }
  const subjects = numbered(5_000, (n) => `a.${n}`);

  test("when a pattern covers very many, and when it goes", () => {
    const harness = new UpstreamHarness({}, 500);
    for (const subject of subjects) harness.acquire(subject);
    expect(mostAtOnce(harness, () => void harness.acquire("a.>"))).toBeLessThanOrEqual(501);
    expect(harness.patterns).toEqual(["a.>"]);
    expect(mostAtOnce(harness, () => harness.upstream.release(["a.>"]))).toBeLessThanOrEqual(501);
    expect(harness.patterns).toEqual(subjects.toSorted());
  });

  test("when very many go at once, and the last ones that lingered long enough", () => {
    const harness = new UpstreamHarness({ upstreamLingerMs: 1000, maxLingering: 10_000 }, 500);
    harness.acquire(...subjects);
    harness.upstream.release(subjects);
    expect(harness.timers).toBe(1);
    expect(mostAtOnce(harness, () => harness.clock.pause(1000))).toBeLessThanOrEqual(501);
    expect(harness.patterns).toEqual([]);
    expect(harness.timers).toBe(0);
  });

  test("and goes on where a pattern that went is wanted again meanwhile", () => {
    const harness = new UpstreamHarness({}, 10);
    for (const subject of subjects.slice(0, 100)) harness.acquire(subject);
    harness.acquire("a.>");
    settle(harness);
    harness.upstream.release(["a.>"]);
    expect(harness.patterns).toHaveLength(11);
    expect(harness.acquire("a.>").known).toBe(true);
    settle(harness);
    expect(harness.patterns).toEqual(["a.>"]);
  });
});

describe("UpstreamSubscriptions that linger are bounded", () => {
  test("of patterns: the one that nobody has wanted the longest goes first", () => {
    const harness = new UpstreamHarness({ upstreamLingerMs: 1000, maxLingering: 2 });
    for (const subject of ["a", "b", "c", "a", "d"]) {
      harness.acquire(subject);
      harness.upstream.release([subject]);
    }
    expect(harness.patterns).toEqual(["a", "d"]);
    expect(harness.upstream.lingering).toBe(2);
  });

  test("of bytes", () => {
    const harness = new UpstreamHarness({ upstreamLingerMs: 1000, maxLingeringBytes: 10 });
    for (const subject of ["aaaa", "bbb", "€"]) {
      harness.acquire(subject);
      harness.upstream.release([subject]);
    }
    expect(harness.patterns).toEqual(["aaaa", "bbb", "€"]);
    harness.acquire("c");
    harness.upstream.release(["c"]);
    expect(harness.patterns).toEqual(["bbb", "c", "€"]);
    harness.acquire("x".repeat(11));
    harness.upstream.release(["x".repeat(11)]);
    expect(harness.patterns).toEqual([]);
  });

  test("of what it takes to come and go in a loop", () => {
    const harness = new UpstreamHarness({ upstreamLingerMs: 1000, maxLingering: 100 });
    for (let n = 0; n < 10_000; n++) {
      harness.acquire(`a.${n}`);
      harness.upstream.release([`a.${n}`]);
      harness.clock.turn();
      expect(harness.source.patterns.size).toBeLessThanOrEqual(101);
    }
  });
});

test("UpstreamSubscriptions remembers no more waiters than there are, whoever comes and goes while the source is away", () => {
  const harness = new UpstreamHarness();
  harness.source.confirms = false;
  let asked = 0;
  harness.acquire("a");
  for (let n = 0; n < 1_000; n++) {
    let goesOn = true;
    const looked = (): boolean => {
      asked++;
      return goesOn;
    };
    const patterns = harness.upstream.acquire(["a"]);
    harness.upstream.whenKnown(patterns, () => expect(goesOn).toBe(true), looked);
    harness.upstream.release(patterns);
    goesOn = false;
  }
  // They are looked at when there are too many of them, and then forgotten.
  expect(asked).toBeGreaterThan(900);
  expect(asked).toBeLessThan(2_000);
  expect(harness.upstream).toBeInstanceOf(UpstreamSubscriptions);
});

test("UpstreamSubscriptions does not subscribe to what was released while others were told", () => {
  const harness = new UpstreamHarness();
  harness.source.confirms = false;
  harness.acquire("a.>");
  const narrow = harness.upstream.acquire(["a.1"]);
  harness.upstream.whenKnown(narrow, () => harness.upstream.release(["a.2"]));
  harness.acquire("a.2");
  // "a.>" is refused, and "a.1" comes by itself at once: whoever waits for it lets "a.2" go.
  harness.source.confirms = true;
  harness.upstream.refused("a.>", NO);
  expect(harness.patterns).toEqual(["a.1", "a.>"]);
  harness.acquire("a.2");
  expect(harness.patterns).toEqual(["a.1", "a.2", "a.>"]);
});
