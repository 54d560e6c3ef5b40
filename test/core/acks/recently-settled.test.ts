import { expect, test } from "bun:test";
import { RecentlySettled } from "../../../src/core/acks/recently-settled.ts";

test("A durable remembers what was settled lately, and no more than 16,384 messages", () => {
  const settled = new RecentlySettled(1000);
  for (let sequence = 1; sequence <= 20_000; sequence++) settled.add(sequence, "ack", 0);
  const known = Array.from({ length: 20_000 }, (_, n) => settled.get(n + 1) !== undefined);
  expect(known.filter(Boolean)).toHaveLength(16_384);
  expect(known.at(-1)).toBe(true);
  // One is added at a time, and two that are old are forgotten.
  for (let n = 0; n < 16_384; n++) settled.add(30_000 + n, "term", 120_000);
  expect(settled.get(20_000)).toBeUndefined();
  expect(settled.get(30_000)).toBe("term");
});
