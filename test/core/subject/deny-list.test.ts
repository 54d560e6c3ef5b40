import { describe, expect, test } from "bun:test";
import { DenyList } from "../../../src/core/subject/deny-list.ts";
import { subjectMatches } from "../../../src/core/subject/subject.ts";

const SUBJECTS = ["a", "ab", "a.b", "a.bc", "a.b.c", "b.a", "b.a.c", "$x", "$x.a", "_y.b", "a.$x"];

describe("DenyList", () => {
  test.each([
    ["a"],
    ["a.b"],
    ["a.*"],
    ["*.a"],
    ["*.*.c"],
    ["a.>"],
    ["*.>"],
    [">"],
    ["$x.>"],
    ["*"],
    ["b.a.c.d"],
  ])("denies what %s matches, subjects of NATS itself included", (pattern) => {
    const few = new DenyList([pattern]);
    const many = new DenyList([pattern, "n.1", "n.2", "n.3", "n.4"]);
    for (const subject of SUBJECTS) {
      const isDenied = subjectMatches(pattern, subject);
      expect([subject, few.denies(subject)]).toEqual([subject, isDenied]);
      expect([subject, many.denies(subject)]).toEqual([subject, isDenied]);
    }
    expect(many.denies("n.3")).toBe(true);
  });

  test("of nothing denies nothing", () => {
    expect(DenyList.NOTHING.isEmpty).toBe(true);
    expect(SUBJECTS.filter((subject) => DenyList.NOTHING.denies(subject))).toEqual([]);
  });

  test("denies the subjects of NATS itself that are not allowed by name", () => {
    const list = new DenyList(["a.b"], ["$x.*"]);
    expect(SUBJECTS.filter((subject) => list.denies(subject))).toEqual(["a.b", "$x", "_y.b"]);
  });

  test("has one key for the same patterns, and another one for others", () => {
    const keyOf = (...lists: ConstructorParameters<typeof DenyList>) => new DenyList(...lists).key;
    expect(keyOf(["b", "a.>", "a.b", "b"])).toBe(keyOf(["a.>", "b"]));
    const keys = [
      keyOf([]),
      keyOf([], []),
      keyOf(["a"]),
      keyOf(["a"], []),
      keyOf([], ["a"]),
      keyOf(["a"], ["$x"]),
      keyOf(["$x", "a"]),
    ];
    expect(new Set(keys).size).toBe(keys.length);
  });
});
