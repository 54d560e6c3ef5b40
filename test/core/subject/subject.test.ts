import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  carriesAll,
  isReserved,
  subjectCovers,
  subjectMatches,
  subjectsIntersect,
} from "../../../src/core/subject/subject.ts";
import { SubjectTrie } from "../../../src/core/subject/subject-trie.ts";
import { subjectFault, utf8Length } from "../../../src/protocol/subject.ts";

const token = fc.constantFrom("a", "b", "c");
const subject = fc.array(token, { minLength: 1, maxLength: 4 }).map((tokens) => tokens.join("."));
const pattern = fc
  .tuple(
    fc.array(fc.constantFrom("a", "b", "c", "*"), { maxLength: 3 }),
    fc.constantFrom("a", "*", ">"),
  )
  .map(([tokens, last]) => [...tokens, last].join("."));

/** All subjects of up to five tokens, one of which no pattern names: enough to tell any two patterns apart. */
const subjects = (() => {
  const all: string[] = [];
  let level = [""];
  for (let depth = 0; depth < 5; depth++) {
    level = level.flatMap((prefix) =>
      ["a", "b", "c", "d"].map((next) => (prefix ? `${prefix}.${next}` : next)),
    );
    all.push(...level);
  }
  return all;
})();

describe("Subject", () => {
  test.each(["a", "a.b", "a.*.c", "*", ">", "a.>", "a*b.>c", "é.漢", "$SYS.>", "_INBOX.x"])(
    "pattern %s is valid",
    (text) => expect(subjectFault(text, true)).toBeUndefined(),
  );

  test.each(["", ".", "a.", ".a", "a..b", "a b", "a\tb", "a\n", "\u0000", ">.a", "a.>.b"])(
    "pattern %j is not",
    (text) => expect(subjectFault(text, true)).toBeString(),
  );

  test.each([
    ["x".repeat(3072), undefined],
    ["x".repeat(3073), "must not be longer than 3072 bytes in UTF-8"],
    ["€".repeat(1024), undefined],
    ["€".repeat(1025), "must not be longer than 3072 bytes in UTF-8"],
    ["😀".repeat(768), undefined],
    ["😀".repeat(769), "must not be longer than 3072 bytes in UTF-8"],
    [Array(64).fill("a").join("."), undefined],
    [Array(65).fill("a").join("."), "must not have more than 64 tokens"],
    ["a.\ud800", "must not contain half a surrogate pair"],
    ["\udc00b", "must not contain half a surrogate pair"],
  ] as const)("is bounded as NATS bounds its lines: %#", (text, fault) => {
    expect(subjectFault(text, true)).toBe(fault as string);
    expect(subjectFault(text, false)).toBe(fault as string);
  });

  test("has as many bytes as its UTF-8", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(utf8Length(text)).toBe(new TextEncoder().encode(text).length);
      }),
    );
  });

  test("that is published to has no wildcards, but may have their characters inside a token", () => {
    expect(subjectFault("a.*", false)).toBe("must not contain a wildcard");
    expect(subjectFault("a.>", false)).toBe("must not contain a wildcard");
    expect(subjectFault("a*b.c>", false)).toBeUndefined();
  });

  test("matches a pattern: * is one token, > is one or more", () => {
    expect(subjectMatches("a.*", "a.b")).toBe(true);
    expect(subjectMatches("a.*", "a.b.c")).toBe(false);
    expect(subjectMatches("a.>", "a.b.c")).toBe(true);
    expect(subjectMatches("a.>", "a")).toBe(false);
    expect(subjectMatches("a", "a.b")).toBe(false);
  });

  test("covering is matching all that the other matches", () => {
    fc.assert(
      fc.property(pattern, pattern, (outer, inner) => {
        const all = subjects.filter((one) => subjectMatches(inner, one));
        expect(subjectCovers(outer, inner)).toBe(all.every((one) => subjectMatches(outer, one)));
      }),
      { numRuns: 500 },
    );
  });

  test("intersecting is sharing a subject", () => {
    fc.assert(
      fc.property(pattern, pattern, (one, other) => {
        const shared = subjects.some(
          (each) => subjectMatches(one, each) && subjectMatches(other, each),
        );
        expect(subjectsIntersect(one, other)).toBe(shared);
      }),
      { numRuns: 1000 },
    );
  });

  test("is reserved when it begins with $ or _", () => {
    expect(["$JS.API", "_INBOX.1", "a.$b", "a"].map(isReserved)).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });
});

describe("Subject trie", () => {
  test("finds what matching one by one finds, each pattern once", () => {
    fc.assert(
      fc.property(fc.uniqueArray(pattern, { maxLength: 12 }), subject, (patterns, one) => {
        const trie = new SubjectTrie<string>();
        for (const each of patterns) trie.add(each, each);
        const found: string[] = [];
        trie.match(one, (value) => found.push(value));
        expect(found.sort()).toEqual(patterns.filter((each) => subjectMatches(each, one)).sort());
      }),
      { numRuns: 2000 },
    );
  });

  test("forgets what is removed and keeps the rest", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(pattern, { minLength: 1, maxLength: 8 }),
        subject,
        (patterns, one) => {
          const trie = new SubjectTrie<string>();
          for (const each of patterns) trie.add(each, each);
          const [gone, ...rest] = patterns;
          trie.remove(gone!, gone!);
          const found: string[] = [];
          trie.match(one, (value) => found.push(value));
          expect(found.sort()).toEqual(rest.filter((each) => subjectMatches(each, one)).sort());
        },
      ),
      { numRuns: 1000 },
    );
  });

  test("finds the patterns that match something that another one matches, too, each once", () => {
    fc.assert(
      fc.property(fc.uniqueArray(pattern, { maxLength: 12 }), pattern, (patterns, one) => {
        const trie = new SubjectTrie<string>();
        for (const each of patterns) trie.add(each, each);
        const found = [...trie.intersecting(one)].flatMap((values) => [...(values ?? [])]);
        expect(found.sort()).toEqual(
          patterns.filter((each) => subjectsIntersect(each, one)).sort(),
        );
      }),
      { numRuns: 2000 },
    );
  });

  test("finds the patterns that cover one, and those that it covers", () => {
    const any = fc.oneof(pattern, fc.constantFrom("$X.a", "$X.*", "$X.>", ">", "*"));
    fc.assert(
      fc.property(fc.uniqueArray(any, { maxLength: 12 }), any, (patterns, one) => {
        const trie = new SubjectTrie<string>();
        for (const each of patterns) trie.add(each, each);
        expect(trie.size).toBe(patterns.length);
        const wider: string[] = [];
        trie.covering(one, (value) => wider.push(value));
        expect(wider.sort()).toEqual(patterns.filter((each) => subjectCovers(each, one)).sort());
        const narrower = [...trie.covered(one)].flatMap((values) => [...(values ?? [])]);
        expect(narrower.sort()).toEqual(patterns.filter((each) => carriesAll(one, each)).sort());
        for (const each of patterns) trie.remove(each, each);
        expect([trie.size, trie.match(one, () => {}), trie.covering(one, () => {})]).toEqual([
          0, 1, 1,
        ]);
      }),
      { numRuns: 2000 },
    );
  });

  test("ends a search for covering patterns at the first that is accepted, or after so many nodes", () => {
    const trie = new SubjectTrie<string>();
    for (const each of [">", "a.>", "*.b"]) trie.add(each, each);
    const seen: string[] = [];
    trie.covering("a.b", (value) => {
      seen.push(value);
      return value === "a.>";
    });
    expect(seen.at(-1)).toBe("a.>");
    expect(trie.covering("a.b", () => {}, 2)).toBe(2);
  });
});
