import { describe, expect, test } from "bun:test";
import { TurnShare } from "../../../src/core/timing/turn-share.ts";
import { WorkQueue } from "../../../src/core/timing/work-queue.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { turnsOf } from "../support/turns.ts";

/** A queue of work of ten steps a turn, of which each item takes four; `broken` throws. */
function start(): {
  clock: ManualClock;
  share: TurnShare;
  queue: WorkQueue<string>;
  done: string[];
} {
  const clock = new ManualClock();
  const share = new TurnShare(turnsOf(clock, 10));
  const done: string[] = [];
  const queue = new WorkQueue<string>(share, (item) => {
    if (item === "broken") throw new Error(item);
    done.push(item);
    return 4;
  });
  return { clock, share, queue, done };
}

describe("WorkQueue", () => {
  test("handles items in order, in shares of the turns, and leaves no timer", () => {
    const { clock, queue, done } = start();
    for (const item of "abcdef") queue.add(item);
    expect(done).toEqual(["a", "b", "c"]);
    clock.turn();
    queue.add("g");
    expect(done).toEqual(["a", "b", "c", "d", "e", "f"]);
    clock.advance(0);
    expect(done.join("")).toBe("abcdefg");
    expect(clock.timers).toBe(0);
  });

  test("handles the others if one throws, and what is added later", () => {
    const { clock, queue, done } = start();
    queue.add("a");
    expect(() => queue.add("broken")).toThrow("broken");
    for (const item of ["b", "c", "d", "broken", "e"]) queue.add(item);
    expect(() => clock.advance(0)).toThrow("broken");
    clock.advance(0);
    expect(done.join("")).toBe("abcde");
    expect(clock.timers).toBe(0);
  });

  test("goes on after its items and the turns' work were dropped", () => {
    const { clock, share, queue, done } = start();
    for (const item of "abcdef") queue.add(item);
    queue.clear();
    share.stop();
    queue.add("g");
    clock.advance(0);
    expect(done.join("")).toBe("abcg");
  });
});
