import { expect, test } from "bun:test";
import { FairShares } from "../../../src/core/collections/fair-shares.ts";

/** Takes as many as the key may, of so many that are left. */
function takeAll(shares: FairShares, key: string, left: number): number {
  let taken = 0;
  while (shares.mayTake(key, left - taken)) {
    shares.take(key);
    taken++;
  }
  return taken;
}

test("A key gets a fifth of all, the next one a fifth of the rest, and each one at least one", () => {
  const shares = new FairShares();
  const taken: number[] = [];
  for (let left = 100; left > 0; left -= taken.at(-1)!) {
    taken.push(takeAll(shares, `key ${taken.length}`, left));
  }
  expect(taken.slice(0, 3)).toEqual([20, 16, 13]);
  expect(taken.at(-1)).toBe(1);
  expect(shares.mayTake("another", 0)).toBe(false);
});

test("A key that gives back what it took may take it again", () => {
  const shares = new FairShares();
  expect(takeAll(shares, "a", 10)).toBe(2);
  expect(shares.mayTake("a", 8)).toBe(false);
  shares.give("a");
  expect(shares.mayTake("a", 9)).toBe(true);
});
