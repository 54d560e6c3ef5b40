import { describe, expect, test } from "bun:test";
import { ConcurrencyLimiter } from "../../../src/core/timing/concurrency-limiter.ts";
import { ManualClock } from "../support/manual-clock.ts";

/** One turn of the event loop, and what was promised in it. */
async function turn(clock: ManualClock): Promise<void> {
  clock.turn();
  await new Promise((resolve) => setImmediate(resolve));
}

describe("ConcurrencyLimiter", () => {
  test("lets one task begin in each turn, in the order in which they came, up to its number", async () => {
    const clock = new ManualClock();
    const limiter = new ConcurrencyLimiter(clock, 2);
    const begun: number[] = [];
    const releases: (() => void)[] = [];
    for (let n = 0; n < 3; n++) {
      void limiter.take().then((release) => {
        begun.push(n);
        releases.push(release);
      });
    }
    await turn(clock);
    expect(begun).toEqual([0]);
    await turn(clock);
    await turn(clock);
    expect(begun).toEqual([0, 1]);
    expect(limiter.waiting).toBe(1);
    releases[0]?.();
    releases[0]?.();
    await turn(clock);
    expect(begun).toEqual([0, 1, 2]);
    for (const release of releases) release();
    expect(limiter.running).toBe(0);
    expect(clock.timers).toBe(0);
  });

  test("takes a place back that is not given back in time", async () => {
    const clock = new ManualClock();
    const limiter = new ConcurrencyLimiter(clock, 1, 100);
    void limiter.take();
    await turn(clock);
    expect(limiter.running).toBe(1);
    clock.advance(100);
    expect(limiter.running).toBe(0);
  });

  test("forgets a task that is cancelled while it waits, and gives it no place", async () => {
    const clock = new ManualClock();
    const limiter = new ConcurrencyLimiter(clock, 1);
    const first = limiter.take();
    await turn(clock);
    const controller = new AbortController();
    const second = limiter.take(controller.signal);
    controller.abort();
    (await second)();
    (await limiter.take(controller.signal))();
    expect(limiter.waiting).toBe(0);
    expect(limiter.running).toBe(1);
    (await first)();
    expect(limiter.running).toBe(0);
    expect(clock.timers).toBe(0);
  });
});
