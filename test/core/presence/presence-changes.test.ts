import { expect, test } from "bun:test";
import { ANONYMOUS } from "../../../src/core/access/grant.ts";
import { EntryChange, PresenceChanges } from "../../../src/core/presence/presence-changes.ts";
import type { PresentConnection } from "../../../src/core/presence/presence-table.ts";
import { TurnShare } from "../../../src/core/timing/turn-share.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { turnsOf } from "../support/turns.ts";

/** A connection of one user. */
function connection(id: string): PresentConnection {
  const principal = { issuer: "i", sub: "ann" };
  return { gateway: "g", id, shown: undefined, entry: { account: "", principal } as never };
}

test("Changes are taken in after a stop that dropped earlier ones", () => {
  const clock = new ManualClock();
  const turnShare = new TurnShare(turnsOf(clock, 1));
  const taken: string[] = [];
  const changes = new PresenceChanges(turnShare, function* ({ id }) {
    taken.push(id);
    yield 1;
  });
  for (const id of ["1", "2", "3"]) changes.add(connection(id));
  turnShare.stop();
  changes.clear();
  taken.length = 0;
  changes.add(connection("4"));
  for (let turns = 0; turns < 5; turns++) clock.advance(1);
  expect(taken).toEqual(["4"]);
});

test("A change that throws keeps no other one of its user", () => {
  const clock = new ManualClock();
  const taken: string[] = [];
  const changes = new PresenceChanges(new TurnShare(turnsOf(clock, 1)), function* ({ id }) {
    if (id === "2") throw new Error("broken");
    taken.push(id);
    yield 1;
  });
  for (const id of ["1", "2", "3"]) changes.add(connection(id));
  for (let turns = 0; turns < 5; turns++) {
    try {
      clock.advance(1);
    } catch (error) {
      expect((error as Error).message).toBe("broken");
    }
  }
  expect(taken).toEqual(["1", "3"]);
});

test("If other patterns are denied than before, all patterns are removed and added", () => {
  const entry = { account: "", principal: ANONYMOUS, subjects: ["a.*", "b"], denied: ["a.1"] };
  const change = new EntryChange(entry, { ...entry, denied: ["a.2"] });
  expect(change.removed).toEqual(entry.subjects);
  expect(change.addition?.subjects).toEqual(entry.subjects);
});
