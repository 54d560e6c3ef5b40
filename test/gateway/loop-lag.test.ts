import { expect, test } from "bun:test";
import { LoopLag } from "../../src/gateway/loop-lag.ts";
import { ManualClock } from "../core/support/manual-clock.ts";

test("LoopLag measures by how much its timers are late, until it is stopped", () => {
  const clock = new ManualClock();
  const lag = new LoopLag(clock);
  lag.start();
  clock.advance(1000);
  expect(lag.seconds.counts.reduce((sum, count) => sum + count)).toBe(10);
  expect(lag.seconds.sum).toBe(0);
  clock.pause(350);
  clock.advance(0);
  expect(lag.seconds.sum).toBeCloseTo(0.25);
  lag.stop();
  clock.advance(1000);
  expect(lag.seconds.counts.reduce((sum, count) => sum + count)).toBe(11);
  expect(clock.timers).toBe(0);
  lag.stop();
});
