import { describe, expect, test } from "bun:test";
import { backoffMs } from "../../../src/core/timing/backoff.ts";

describe("The back-off", () => {
  test("is twice as long each time, up to half a minute", () => {
    const waits = [1, 2, 3, 5, 6, 60].map((failures) => backoffMs(1000, failures, 0));
    expect(waits).toEqual([1000, 2000, 4000, 16_000, 30_000, 30_000]);
  });

  test("is never shorter than the first one that is longer than that, and none stays none", () => {
    expect(backoffMs(60_000, 3, 0)).toBe(60_000);
    expect(backoffMs(0, 9, 0)).toBe(0);
  });

  test("is up to half shorter by chance", () => {
    expect([0, 0.5, 1].map((random) => backoffMs(1000, 1, random))).toEqual([1000, 750, 500]);
  });
});
