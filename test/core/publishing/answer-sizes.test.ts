import { expect, test } from "bun:test";
import { AnswerSizes } from "../../../src/core/publishing/answer-sizes.ts";
import { ManualClock } from "../support/manual-clock.ts";

const LARGEST = 1000;

test("An answer counts for five minutes, and an equally large one doesn't extend that", () => {
  const clock = new ManualClock();
  const sizes = new AnswerSizes(clock);
  sizes.learn("a", 500);
  clock.advance(299_999);
  sizes.learn("a", 500);
  expect(sizes.expected("a", LARGEST)).toBe(500);
  clock.advance(1);
  expect(sizes.expected("a", LARGEST)).toBe(LARGEST);
});
