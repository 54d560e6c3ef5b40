import { expect, test } from "bun:test";
import { Announcements } from "../../../src/core/presence/announcements.ts";
import { TimerQueue } from "../../../src/core/timing/timer-queue.ts";
import { TurnShare } from "../../../src/core/timing/turn-share.ts";
import { Harness } from "../support/harness.ts";
import { turnsOf } from "../support/turns.ts";

test("An entry that hasn't come back is written again only after a check that began later than it was written", () => {
  const harness = new Harness();
  const { clock } = harness;
  const written: string[] = [];
  const announcements = new Announcements({
    ...{ clock, timers: new TimerQueue(clock), turnShare: new TurnShare(turnsOf(clock)) },
    ...{ gateway: "g", intervalMs: 0, renewMs: 600_000, random: () => 0, isFresh: () => true },
    bucket: { put: (key) => void written.push(key), delete() {} },
  });
  const check = (round: number): void => {
    announcements.endCheck(round, []);
    clock.advance(1);
  };
  const earlier = announcements.beginCheck();
  announcements.changed(harness.join(["a"]).connection);
  clock.advance(100);
  check(earlier);
  expect(written).toEqual(["g.1"]);
  check(announcements.beginCheck());
  expect(written).toEqual(["g.1", "g.1"]);
});
