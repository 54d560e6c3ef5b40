import { expect, test } from "bun:test";
import { Latencies } from "../../src/commands/latencies.ts";

test("Quantiles are at most 5 % too high, and never above the maximum", () => {
  const latencies = new Latencies();
  expect([latencies.quantile(0.5), latencies.max]).toEqual([0, 0]);
  for (let ms = 1; ms <= 1000; ms++) latencies.add(ms);
  for (const [part, exact] of [
    [0.5, 500],
    [0.99, 990],
    [1, 1000],
  ] as const) {
    const value = latencies.quantile(part);
    expect(value).toBeGreaterThanOrEqual(exact);
    expect(value).toBeLessThanOrEqual(Math.min(1000, exact * 1.05));
  }
  expect(latencies.max).toBe(1000);
});

test("A duration of 0 counts", () => {
  const latencies = new Latencies();
  latencies.add(0);
  latencies.add(0.001);
  expect(latencies.quantile(1)).toBeLessThanOrEqual(0.01);
});
