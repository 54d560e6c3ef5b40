import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { carries } from "../../src/core/subject/subject.ts";
import { PatternSet } from "../../src/source/pattern-set.ts";

// Few tokens and short subjects, so that every subject there is can be tried.
const WORDS = ["a", "b", "$n"];
const SUBJECTS = [1, 2, 3].flatMap(subjectsOfLength);
const pattern = fc
  .tuple(
    fc.array(fc.constantFrom(...WORDS, "*"), { maxLength: 2 }),
    fc.constantFrom(...WORDS, "*", ">"),
  )
  .map(([tokens, last]) => [...tokens, last].join("."));

describe("PatternSet", () => {
  test("they carry what one of those that are there carries, whatever comes and goes", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), pattern)), (changes) => {
        const patterns = new PatternSet();
        const there = new Set<string>();
        for (const [comes, pattern] of changes) {
          if (comes) expect(patterns.add(pattern)).toBe(!there.has(pattern));
          else expect(patterns.delete(pattern)).toBe(there.has(pattern));
          if (comes) there.add(pattern);
          else there.delete(pattern);
        }
        expect([...patterns]).toEqual([...there]);
        for (const subject of SUBJECTS) {
          const carried = [...there].some((pattern) => carries(pattern, subject));
          expect([subject, patterns.matches(subject)]).toEqual([subject, carried]);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  test("one that nobody could subscribe to is refused", () => {
    expect(() => new PatternSet().add("a b")).toThrow(
      'Cannot subscribe to "a b" as a subject must not contain white space or control characters',
    );
  });
});

function subjectsOfLength(length: number): string[] {
  if (length === 0) return [""];
  return subjectsOfLength(length - 1).flatMap((start) =>
    WORDS.map((word) => (start === "" ? word : `${start}.${word}`)),
  );
}
