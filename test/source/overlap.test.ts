import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { carries, isReserved, subjectMatches, subjectsIntersect } from "../../src/core/subject.ts";
import { delivers, shareOut } from "../../src/source/overlap.ts";

// Few tokens and short subjects, so that every subject there is can be tried.
const WORDS = ["a", "b", "$n"];
const SUBJECTS = [1, 2, 3, 4].flatMap(subjectsOfLength);
const pattern = fc
  .tuple(
    fc.array(fc.constantFrom(...WORDS, "*"), { maxLength: 3 }),
    fc.constantFrom(...WORDS, "*", ">"),
  )
  .map(([tokens, last]) => [...tokens, last].join("."));

describe("subjectsIntersect", () => {
  test("two patterns intersect when some subject is matched by both", () => {
    fc.assert(
      fc.property(pattern, pattern, (left, right) => {
        const both = SUBJECTS.some(
          (subject) => subjectMatches(left, subject) && subjectMatches(right, subject),
        );
        expect(subjectsIntersect(left, right)).toBe(both);
      }),
      { numRuns: 3_000 },
    );
  });

  test.each([
    ["a.*", "*.b", true],
    ["a.>", "*.*.c", true],
    ["a.>", "a", false],
    ["a.*", "a.b.c", false],
    [">", "a", true],
  ])("%s and %s: %p", (left, right, intersect) => {
    expect(subjectsIntersect(left, right)).toBe(intersect);
    expect(subjectsIntersect(right, left)).toBe(intersect);
  });
});

describe("shareOut", () => {
  test("every subject that a pattern carries is delivered by exactly one subscription, no other by any", () => {
    fc.assert(
      fc.property(fc.array(pattern, { maxLength: 6 }), (patterns) => {
        const shares = shareOut(patterns);
        for (const subject of SUBJECTS) {
          const delivering = shares.filter(
            (share) => subjectMatches(share.subject, subject) && delivers(share, subject),
          );
          const carried = patterns.some((pattern) => carries(pattern, subject));
          expect([subject, delivering.length]).toEqual([subject, carried ? 1 : 0]);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test("subscriptions that share nothing are checked for nothing", () => {
    const shares = shareOut(["orders.*", "stock.>", "$KV.prices.>"]);
    expect(shares.flatMap(({ earlier }) => earlier)).toEqual([]);
    expect(shares.some(({ skipsReserved }) => skipsReserved)).toBe(false);
  });

  test("a pattern that another covers needs no subscription", () => {
    expect(shareOut(["orders.eu", "orders.>"]).map(({ subject }) => subject)).toEqual(["orders.>"]);
  });

  test("a wildcard does not cover a reserved subject that is named beside it", () => {
    const subjects = shareOut([">", "$KV.prices.>"]).map(({ subject }) => subject);
    expect(subjects.sort()).toEqual(["$KV.prices.>", ">"]);
  });
});

describe("carries", () => {
  test("reserved subjects are carried only by patterns that name their first token", () => {
    expect(carries(">", "_INBOX.x")).toBe(false);
    expect(carries("*.x", "_INBOX.x")).toBe(false);
    expect(carries("_INBOX.>", "_INBOX.x")).toBe(true);
    expect(isReserved("_INBOX.x")).toBe(true);
  });
});

function subjectsOfLength(length: number): string[] {
  if (length === 0) return [""];
  return subjectsOfLength(length - 1).flatMap((start) =>
    WORDS.map((word) => (start === "" ? word : `${start}.${word}`)),
  );
}
