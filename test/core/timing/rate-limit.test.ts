import { expect, test } from "bun:test";
import fc from "fast-check";
import { RateLimit } from "../../../src/core/timing/rate-limit.ts";

test("A rate limit allows a burst, then says when there is room again", () => {
  const limit = new RateLimit(10, 3, 0);
  expect([0, 0, 0].map((ms) => limit.take(ms))).toEqual([0, 0, 0]);
  expect(limit.take(0)).toBe(100);
  expect(limit.take(40)).toBe(60);
  expect(limit.take(100)).toBe(0);
  expect(limit.take(100)).toBe(100);
  expect([10_000, 10_000, 10_000].map((ms) => limit.take(ms))).toEqual([0, 0, 0]);
  expect(limit.take(10_000)).toBe(100);
});

test("A rate limit never allows more than its rate and its burst, and always what it promised", () => {
  const waits = fc.array(fc.integer({ min: 0, max: 500 }), { maxLength: 200 });
  fc.assert(
    fc.property(
      waits,
      fc.integer({ min: 1, max: 100 }),
      fc.integer({ min: 1, max: 20 }),
      (pauses, rate, burst) => {
        const limit = new RateLimit(rate, burst, 0);
        let nowMs = 0;
        let taken = 0;
        for (const pause of pauses) {
          nowMs += pause;
          const waitMs = limit.take(nowMs);
          if (waitMs === 0) taken++;
          else {
            nowMs += waitMs;
            expect(limit.take(nowMs)).toBe(0);
            taken++;
          }
          expect(taken).toBeLessThanOrEqual(burst + (nowMs * rate) / 1000 + 1e-6);
        }
      },
    ),
  );
});

test("A rate limit that becomes another one has the same part of its burst left", () => {
  const limit = new RateLimit(10, 4, 0);
  limit.become(20, 8, 1000);
  expect(limit.isFull(1000)).toBe(true);
  for (let n = 0; n < 6; n++) limit.take(1000);
  limit.become(10, 4, 1100);
  expect([0, 0, 0].map(() => limit.take(1100))).toEqual([0, 0, 100]);
});

test("A rate limit that stays as it is loses nothing of its burst", () => {
  const limit = new RateLimit(11, 22, 0);
  for (let n = 0; n < 22; n++) {
    limit.become(11, 22, 0);
    expect(limit.take(0)).toBe(0);
  }
});
