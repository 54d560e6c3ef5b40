import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Alarm, Alarms, NOT_SET } from "../../../src/core/timing/alarms.ts";
import { ManualClock } from "../support/manual-clock.ts";

class Bell implements Alarm {
  alarmAt = NOT_SET;
  alarmMs = 0;
  readonly rung: number[] = [];

  ring(nowMs: number): void {
    this.rung.push(nowMs);
  }
}

describe("Alarms", () => {
  test("of a thousand waiters are one timer", () => {
    const clock = new ManualClock();
    const alarms = new Alarms(clock);
    const bells = Array.from({ length: 1000 }, () => new Bell());
    for (const [index, bell] of bells.entries()) alarms.set(bell, 1000 + ((index * 7) % 1000));
    expect(clock.timers).toBe(1);
    clock.advance(1500);
    expect(clock.timers).toBe(1);
    clock.advance(600);
    expect(clock.timers).toBe(0);
    expect(bells.every(({ rung }) => rung.length === 1)).toBe(true);
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
        const alarms = new Alarms(clock);
        const bells = Array.from({ length: 10 }, () => new Bell());
        const dues = new Map<Bell, number>();
        for (const { does, which, ms } of steps) {
          const bell = bells[which]!;
          if (does === "set") {
            alarms.set(bell, clock.nowMs() + ms);
            dues.set(bell, Math.ceil((clock.nowMs() + ms) / 5) * 5);
          } else if (does === "clear") {
            alarms.clear(bell);
            dues.delete(bell);
          } else {
            clock.advance(ms);
          }
          for (const [bell, dueMs] of dues) {
            if (dueMs > clock.nowMs() || (does !== "pass" && bell.rung.length === 0)) continue;
            expect(bell.rung).toEqual([dueMs]);
            bell.rung.length = 0;
            dues.delete(bell);
          }
          for (const bell of bells) expect(bell.rung).toEqual([]);
        }
        alarms.stop();
        expect(clock.timers).toBe(0);
        clock.advance(1000);
        for (const bell of bells) expect(bell.rung).toEqual([]);
      }),
      { numRuns: 3000 },
    );
  });

  test("may be set anew while they ring, and keep nobody waiting by it", () => {
    const clock = new ManualClock();
    const alarms = new Alarms(clock);
    const again = new Bell();
    const other = new Bell();
    again.ring = (nowMs) => {
      again.rung.push(nowMs);
      alarms.set(again, nowMs + 10);
    };
    alarms.set(again, 10);
    alarms.set(other, 10);
    clock.advance(45);
    expect(again.rung).toEqual([10, 20, 30, 40]);
    expect(other.rung).toEqual([10]);
  });
});
