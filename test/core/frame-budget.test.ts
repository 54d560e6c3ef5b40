import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { costOf, FrameBudget, subscriptionCost } from "../../src/core/frame-budget.ts";

const LIMITS = { maxFramesPerSecond: 10, maxSubscriptions: 1 };
/** Five seconds' worth, and what it costs to subscribe and unsubscribe at once. */
const BURST = 50 + 20;

describe("Frame budget", () => {
  test("allows a burst, then the rate, and saves no more than a burst", () => {
    const budget = new FrameBudget(LIMITS, 0);
    for (let n = 0; n < BURST; n++) expect(budget.spend(1, 0)).toBe(true);
    expect(budget.spend(1, 0)).toBe(false);
    expect(budget.spend(1, 200)).toBe(true);
    expect(budget.spend(BURST, 1_000_000)).toBe(true);
    expect(budget.spend(1, 1_000_000)).toBe(false);
  });

  test("counts a long frame for several, and a subscription for more than a ping", () => {
    expect(costOf("x")).toBe(1);
    expect(costOf("x".repeat(64 * 1024))).toBe(129);
    expect(subscriptionCost(64)).toBeGreaterThan(subscriptionCost());
    expect(subscriptionCost()).toBeGreaterThan(1);
  });

  test("takes nothing for the acknowledgement of each message that was sent, however fast they are", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(1000), { maxLength: 50 }), (batches) => {
        const budget = new FrameBudget({ maxFramesPerSecond: 1, maxSubscriptions: 1 }, 0);
        let sent = 0;
        for (const batch of batches) {
          sent += batch;
          for (let n = 0; n < batch; n++) {
            expect(budget.answer(1, sent, 0) && budget.answer(1, sent, 0)).toBe(true);
          }
        }
        expect(budget.spend(5, 0)).toBe(true);
      }),
    );
  });

  test("takes acknowledgements of what was never sent for frames like others", () => {
    const budget = new FrameBudget(LIMITS, 0);
    for (let n = 0; n < BURST; n++) expect(budget.answer(1, 0, 0)).toBe(true);
    expect(budget.answer(1, 0, 0)).toBe(false);
    expect(budget.answer(2, 1, 0)).toBe(true);
    expect(budget.answer(1, 1, 0)).toBe(false);
  });
});
