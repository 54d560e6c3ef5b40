import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { NOT_QUEUED, type QueuedTimer, TimerQueue } from "../../../src/core/timing/timer-queue.ts";
import { ManualClock } from "../support/manual-clock.ts";

class TestTimer implements QueuedTimer {
  queueIndex = NOT_QUEUED;
  dueMs = 0;
  readonly fired: number[] = [];

  fire(nowMs: number): void {
    this.fired.push(nowMs);
  }
}

describe("TimerQueue", () => {
  test("of a thousand waiters are one timer", () => {
    const clock = new ManualClock();
    const timers = new TimerQueue(clock);
    const entries = Array.from({ length: 1000 }, () => new TestTimer());
    for (const [index, timer] of entries.entries()) timers.set(timer, 1000 + ((index * 7) % 1000));
    expect(clock.timers).toBe(1);
    clock.advance(1500);
    expect(clock.timers).toBe(1);
    clock.advance(600);
    expect(clock.timers).toBe(0);
    expect(entries.every(({ fired }) => fired.length === 1)).toBe(true);
  });

  test("ring in time, once, and only when they are still set", () => {
    const step = fc.record({
      does: fc.constantFrom("set", "set", "clear", "pass"),
      which: fc.nat(9),
      ms: fc.nat(100),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const clock = new ManualClock();
        const timers = new TimerQueue(clock);
        const entries = Array.from({ length: 10 }, () => new TestTimer());
        const dues = new Map<TestTimer, number>();
        for (const { does, which, ms } of steps) {
          const timer = entries[which]!;
          if (does === "set") {
            timers.set(timer, clock.nowMs() + ms);
            dues.set(timer, Math.ceil((clock.nowMs() + ms) / 5) * 5);
          } else if (does === "clear") {
            timers.clear(timer);
            dues.delete(timer);
          } else {
            clock.advance(ms);
          }
          for (const [timer, dueMs] of dues) {
            if (dueMs > clock.nowMs() || (does !== "pass" && timer.fired.length === 0)) continue;
            expect(timer.fired).toEqual([dueMs]);
            timer.fired.length = 0;
            dues.delete(timer);
          }
          for (const timer of entries) expect(timer.fired).toEqual([]);
        }
        timers.stop();
        expect(clock.timers).toBe(0);
        clock.advance(1000);
        for (const timer of entries) expect(timer.fired).toEqual([]);
      }),
      { numRuns: 3000 },
    );
  });

  test("may be set anew while they ring, and keep nobody waiting by it", () => {
    const clock = new ManualClock();
    const timers = new TimerQueue(clock);
    const again = new TestTimer();
    const other = new TestTimer();
    again.fire = (nowMs) => {
      again.fired.push(nowMs);
      timers.set(again, nowMs + 10);
    };
    timers.set(again, 10);
    timers.set(other, 10);
    clock.advance(45);
    expect(again.fired).toEqual([10, 20, 30, 40]);
    expect(other.fired).toEqual([10]);
  });

  test("fire also if one that is due at the same time throws", () => {
    const clock = new ManualClock();
    const timers = new TimerQueue(clock);
    const all = Array.from({ length: 3 }, () => new TestTimer());
    all[0]!.fire = () => {
      throw new Error("broken");
    };
    for (const timer of all) timers.set(timer, 10);
    expect(() => clock.advance(10)).toThrow("broken");
    clock.advance(1);
    expect(all.map(({ fired }) => fired)).toEqual([[], [10], [10]]);
    expect(clock.timers).toBe(0);
  });
});
