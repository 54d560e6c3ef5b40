import { describe, expect, spyOn, test } from "bun:test";
import fc from "fast-check";
import { RecentlySettled } from "../../../src/core/acks/recently-settled.ts";
import { OldestFirst } from "../../../src/core/collections/oldest-first.ts";

describe("OldestFirst", () => {
  test("is a map in the order in which entries were set", () => {
    const step = fc.record({ key: fc.nat(8), isSet: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const actual = new OldestFirst<number, number>();
        const expected = new Map<number, number>();
        for (const [value, { key, isSet }] of steps.entries()) {
          const had = expected.delete(key);
          if (isSet) {
            actual.set(key, value);
            expected.set(key, value);
          } else expect(actual.delete(key)).toBe(had);
          expect([...actual.keys()]).toEqual([...expected.keys()]);
          expect(actual.oldest).toEqual([...expected][0]);
          expect(actual.size).toBe(expected.size);
          expect([actual.get(key), actual.has(key)]).toEqual([expected.get(key), isSet]);
        }
        actual.clear();
        expect([actual.size, actual.oldest, ...actual.keys()]).toEqual([0, undefined]);
      }),
    );
  });

  test("gives all keys while those that were given are deleted", () => {
    const map = new OldestFirst<number, number>();
    for (let n = 0; n < 10; n++) map.set(n, n);
    const given: number[] = [];
    for (const key of map.keys()) {
      given.push(key);
      map.delete(key);
      map.delete(key + 1);
    }
    expect(given).toEqual([0, 2, 4, 6, 8]);
    expect(map.size).toBe(0);
  });
});

test("What was settled lately is remembered without a look at what is forgotten", () => {
  // An engine skips the places of deleted entries each time that an iteration begins.
  const iterators = (["keys", "values", "entries", Symbol.iterator] as const).map((name) =>
    spyOn(Map.prototype, name as "keys"),
  );
  const lately = new RecentlySettled(1000);
  for (let n = 0; n < 40_000; n++) lately.add(n, "ack", 0);
  const begun = iterators.reduce((sum, spy) => sum + spy.mock.calls.length, 0);
  for (const spy of iterators) spy.mockRestore();
  expect(begun).toBe(0);
  expect(lately.get(39_999)).toBe("ack");
  expect(lately.get(39_999 - 16_384)).toBeUndefined();
});
