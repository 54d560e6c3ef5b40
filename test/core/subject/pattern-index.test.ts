import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { PatternIndex, withoutCovered } from "../../../src/core/subject/pattern-index.ts";
import { subjectCovers, subjectsIntersect } from "../../../src/core/subject/subject.ts";

const pattern = fc
  .tuple(
    fc.array(fc.constantFrom("a", "b", "$c", "*", "*"), { minLength: 1, maxLength: 4 }),
    fc.boolean(),
  )
  .map(([tokens, isOpen]) => (isOpen ? [...tokens.slice(0, -1), ">"] : tokens).join("."));
/** Short ones, which are compared one by one, and long ones. */
const patterns = fc.array(pattern, { maxLength: 40, size: "max" });

describe("An index of patterns", () => {
  test("finds the patterns that cover another one, and those that intersect it", () => {
    fc.assert(
      fc.property(patterns, pattern, fc.constantFrom("a", "$c", "*"), (all, asked, first) => {
        const index = PatternIndex.of(all);
        const counts = (own: string): boolean => own.startsWith(first);
        const covering = all.filter((own) => subjectCovers(own, asked));
        const intersecting = all.filter((own) => subjectsIntersect(own, asked));
        expect(index.someCovers(asked)).toBe(covering.length > 0);
        expect(index.someCovers(asked, counts)).toBe(covering.some(counts));
        expect(index.someIntersects(asked)).toBe(intersecting.length > 0);
        expect(index.someIntersects(asked, counts)).toBe(intersecting.some(counts));
      }),
      { numRuns: 500 },
    );
  });

  test("leaves out the patterns that another one covers, and keeps the order", () => {
    fc.assert(
      fc.property(patterns, (all) => {
        const different = [...new Set(all)];
        const expected = different.filter(
          (one) => !different.some((other) => other !== one && subjectCovers(other, one)),
        );
        expect(withoutCovered(all)).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });
});
