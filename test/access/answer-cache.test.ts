import { expect, test } from "bun:test";
import { AnswerCache } from "../../src/access/answer-cache.ts";

test("An answer counts until its time", () => {
  const cache = new AnswerCache<number>(2);
  cache.set("a", 1, 100, 0);
  expect(cache.get("a", 99)).toBe(1);
  expect(cache.get("a", 100)).toBeUndefined();
  expect(cache.size).toBe(0);
});

test("The answer that was not used for the longest time makes room", () => {
  const cache = new AnswerCache<number>(2);
  cache.set("a", 1, 100, 0);
  cache.set("b", 2, 100, 0);
  cache.get("a", 0);
  cache.set("c", 3, 100, 0);
  expect(["a", "b", "c"].map((key) => cache.get(key, 0))).toEqual([1, undefined, 3]);
  cache.set("c", 4, 100, 0);
  expect([cache.size, cache.get("c", 0)]).toEqual([2, 4]);
});

test("Answers whose time is over don't stay until there are too many", () => {
  const cache = new AnswerCache<number>(1000);
  for (let n = 0; n < 500; n++) cache.set(`user ${n}`, n, n + 5, n);
  expect(cache.size).toBe(5);
});
