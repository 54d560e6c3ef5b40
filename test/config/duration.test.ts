import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formatDuration, parseDuration } from "../../src/config/duration.ts";

describe("Duration", () => {
  test.each([
    ["5s", 5000],
    ["1m30s", 90_000],
    ["250ms", 250],
    ["1.5s", 1500],
    ["1h", 3_600_000],
    ["2h45m0.5s", 9_900_500],
    [".5s", 500],
    ["1.s", 1000],
    ["100us", 0.1],
    ["100\u00b5s", 0.1],
    ["100\u03bcs", 0.1],
    ["1ns", 0.000001],
    ["+1s", 1000],
    ["-1.5s", -1500],
    ["0", 0],
    ["0s", 0],
    ["30s1m", 90_000],
  ])("%s is %d ms", (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });

  test.each(["", "5", "s", "5 s", "5S", "5sec", ".s", "1d", "--1s", "1s ", "1e3s", "5s\n", "٥s"])(
    "%j is none",
    (text) => expect(parseDuration(text)).toBeUndefined(),
  );

  test("that no number can hold exactly is none", () => {
    expect(parseDuration("999999999999h")).toBeUndefined();
  });

  test.each([
    [0, "0s"],
    [5000, "5s"],
    [60_000, "1m"],
    [90_000, "1m30s"],
    [86_400_000, "24h"],
    [3_600_001, "1h0.001s"],
    [1500, "1.5s"],
    [250, "250ms"],
    [0.5, "500us"],
    [0.000001, "1ns"],
    [-1500, "-1.5s"],
  ])("of %d ms is written %s", (milliseconds, text) => {
    expect(formatDuration(milliseconds)).toBe(text);
  });

  test("that was written is read back exactly, to the nanosecond", () => {
    const day = 86_400_000_000_000;
    fc.assert(
      fc.property(
        fc.maxSafeInteger().map((n) => n % (30 * day)),
        (nanoseconds) => {
          const milliseconds = nanoseconds / 1e6;
          expect(parseDuration(formatDuration(milliseconds))).toBe(milliseconds);
        },
      ),
    );
  });

  test("of several parts is their sum", () => {
    const part = fc.tuple(fc.nat(99), fc.constantFrom("us", "ms", "s", "m", "h"));
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 5 }), (parts) => {
        const texts = parts.map(([count, unit]) => `${count}${unit}`);
        const sum = texts.reduce((total, text) => total + parseDuration(text)!, 0);
        expect(parseDuration(texts.join(""))).toBeCloseTo(sum, 6);
      }),
    );
  });

  test("is never made from any text that has no unit", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const milliseconds = parseDuration(text);
        if (milliseconds !== undefined) expect(text).toMatch(/^[+-]?(?:0$|.*[smh]$)/);
      }),
    );
  });
});
