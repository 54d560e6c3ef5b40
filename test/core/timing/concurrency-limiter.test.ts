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

  test("lets owners take turns, however many tasks each of them has", async () => {
    const clock = new ManualClock();
    const limiter = new ConcurrencyLimiter(clock, 1);
    const begun: string[] = [];
    for (const owner of ["many", "many", "many", "many", "few", "few", "one"]) {
      void limiter.take(undefined, owner).then((release) => {
        begun.push(owner);
        release();
      });
    }
    for (let n = 0; n < 7; n++) await turn(clock);
    expect(begun).toEqual(["many", "few", "one", "many", "few", "many", "many"]);
    expect(clock.timers).toBe(0);
  });

  test("gives no owner so many places that none is left for others", async () => {
    const clock = new ManualClock();
    const limiter = new ConcurrencyLimiter(clock, 8);
    const begun: string[] = [];
    for (const owner of ["one", "other"]) {
      for (let n = 0; n < 20; n++) {
        void limiter.take(undefined, owner).then(() => begun.push(owner));
      }
      for (let n = 0; n < 10; n++) await turn(clock);
    }
    expect(begun.filter((owner) => owner === "one")).toHaveLength(6);
    expect(begun.filter((owner) => owner === "other")).toHaveLength(2);
  });
});
