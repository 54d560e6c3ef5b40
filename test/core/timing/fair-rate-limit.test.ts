import { expect, test } from "bun:test";
import { FairRateLimit } from "../../../src/core/timing/fair-rate-limit.ts";

/** Takes as many as there are. */
function takeAll(limit: FairRateLimit, key: string, nowMs: number): number {
  let taken = 0;
  while (limit.take(key, nowMs) === 0) taken++;
  return taken;
}

test("One key gets the whole rate, and leaves a quarter of the burst to others", () => {
  const limit = new FairRateLimit(10, 40, 0);
  expect(takeAll(limit, "a", 0)).toBe(30);
  expect(limit.take("a", 0)).toBe(100);
  expect(limit.take("a", 100)).toBe(0);
  expect(takeAll(limit, "b", 100)).toBe(10);
  // A key that takes all that it can get waits until the part of the others is full again.
  let taken = 0;
  for (let ms = 1100; ms <= 100_100; ms += 100) taken += takeAll(limit, "a", ms);
  expect(taken).toBeGreaterThan(950);
  expect(taken).toBeLessThanOrEqual(1000);
});

test("While one key takes all that it can get, others get their share of the rate", () => {
  const limit = new FairRateLimit(10, 40, 0);
  let others = 0;
  for (let ms = 0; ms <= 100_000; ms += 100) {
    takeAll(limit, "a", ms);
    // In all, 2.5 per second.
    if (ms % 400 === 0 && limit.take(`b${ms % 5}`, ms) === 0) others++;
  }
  expect(others).toBe(251);
});

test("No more is allowed than the rate and the burst, however many keys there are", () => {
  const limit = new FairRateLimit(10, 40, 0);
  let taken = 0;
  for (let n = 0; n < 100_000; n++) if (limit.take(`${n}`, n) === 0) taken++;
  expect(taken).toBe(40 + 999);
});
