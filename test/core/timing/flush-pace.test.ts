import { describe, expect, test } from "bun:test";
import { AdaptiveFlushPace, type FlushPace } from "../../../src/core/timing/flush-pace.ts";

interface Result {
  /** The share of the time that flushes took. */
  readonly busy: number;
  /** The number of messages that waited for a timer. */
  readonly waited: number;
  readonly flushes: number;
  readonly longestWaitMs: number;
}

/** Messages arrive evenly, and each flush takes `flushMs`, however many messages it writes. */
function run(pace: FlushPace, perSecond: number, flushMs: number, seconds = 10): Result {
  const gapMs = 1000 / perSecond;
  const endMs = seconds * 1000;
  let busyMs = 0;
  let waited = 0;
  let flushes = 0;
  let longestWaitMs = 0;
  let nowMs = 0;
  for (let nextMs = 0; nextMs < endMs; ) {
    nowMs = Math.max(nowMs, nextMs);
    const waitMs = Math.max(0, pace.waitMs(nowMs));
    longestWaitMs = Math.max(longestWaitMs, waitMs);
    const beginMs = nowMs + waitMs;
    const arrived = Math.floor((beginMs - nextMs) / gapMs) + 1;
    nextMs += arrived * gapMs;
    if (waitMs > 0) waited += arrived;
    nowMs = beginMs + flushMs;
    busyMs += flushMs;
    flushes++;
    pace.spent(flushMs, nowMs);
  }
  return { busy: busyMs / endMs, waited: waited / (perSecond * seconds), flushes, longestWaitMs };
}

describe("An adaptive pace", () => {
  test("lets every flush begin at once while they take little of the time", () => {
    for (const [perSecond, flushMs] of [
      [300, 0.3],
      [1000, 0.3],
      [50_000, 0.002],
    ] as const) {
      expect(run(new AdaptiveFlushPace(), perSecond, flushMs).waited).toBe(0);
    }
  });

  test("lets most messages leave at once when there are somewhat too many, and keeps a part of the core free", () => {
    const { busy, waited } = run(new AdaptiveFlushPace(), 3000, 0.3);
    expect(waited).toBeLessThan(0.5);
    expect(busy).toBeLessThan(0.75);
  });

  test("never takes much more than its share, unless flushes take longer than the longest wait", () => {
    for (const perSecond of [10_000, 100_000]) {
      for (const flushMs of [0.3, 1, 3]) {
        expect(run(new AdaptiveFlushPace(), perSecond, flushMs).busy).toBeLessThan(0.7);
      }
    }
  });

  test("waits no longer than 10 ms, however long flushes take", () => {
    expect(run(new AdaptiveFlushPace(), 1000, 200).longestWaitMs).toBe(10);
  });

  test("after a pause, lets a short burst pass at once, and no longer one", () => {
    const pace = new AdaptiveFlushPace();
    run(pace, 10_000, 1, 1);
    let nowMs = 60_000;
    let atOnce = 0;
    while (pace.waitMs(nowMs) <= 0) {
      nowMs += 1;
      atOnce++;
      pace.spent(1, nowMs);
    }
    expect(atOnce).toBeGreaterThan(5);
    expect(atOnce).toBeLessThan(100);
  });
});
