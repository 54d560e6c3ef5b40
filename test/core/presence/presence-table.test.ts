import { expect, test } from "bun:test";
import { ANONYMOUS } from "../../../src/core/access/grant.ts";
import { ENTRY_LIVES, PresenceTable } from "../../../src/core/presence/presence-table.ts";
import { TimerQueue } from "../../../src/core/timing/timer-queue.ts";
import { ManualClock } from "../support/manual-clock.ts";

const TTL_MS = 30_000;
const MANY = 3500;

const GRACE_MS = 1000;

function emptyTable() {
  const clock = new ManualClock();
  const timers = new TimerQueue(clock);
  const options = {
    presenceTtlMs: TTL_MS,
    presenceGraceMs: GRACE_MS,
    maxPresenceEntries: 10_000,
  };
  const listener = { changed() {} };
  const table = new PresenceTable(options, { clock, timers, listener, isFresh: () => true });
  table.thaw(0);
  return { clock, table, timers };
}

/** A table with very many connections of one gateway, and one more of another one. */
function tableOf() {
  const { clock, table, timers } = emptyTable();
  for (let n = 0; n < MANY; n++) table.put("x", `${n}`, entryOf(), 0);
  table.put("y", "1", entryOf(), 0);
  return { clock, table, timers };
}

function entryOf(sub = "") {
  const principal = sub === "" ? ANONYMOUS : { issuer: "i", sub };
  return { account: "", principal, subjects: ["a"], denied: [] };
}

/** The names of those who count as present. */
function namesIn({ all }: PresenceTable): string[] {
  return [...all].map(({ entry }) => entry.principal.sub);
}

/** Lets turns pass while connections are removed. @returns how many were left after each turn. */
function turnsOf({ clock, table }: ReturnType<typeof tableOf>): number[] {
  const left = [table.all.size];
  for (let before = 0; before !== left.at(-1); left.push(table.all.size)) {
    before = left.at(-1) as number;
    clock.pause(5);
    clock.turn();
  }
  return left.slice(0, -1);
}

test("The connections of a gateway that is silent end in many turns", () => {
  const crowd = tableOf();
  crowd.clock.advance(TTL_MS - 1000);
  crowd.table.alive("y", 0);
  crowd.clock.pause(995);
  expect(turnsOf(crowd)).toEqual([3501, 2501, 1501, 501, 1]);
});

test("Connections whose entries aren't written again end in many turns, and those of other gateways stay", () => {
  const crowd = tableOf();
  const { clock, table, timers } = crowd;
  for (let n = 0; n < ENTRY_LIVES; n++) {
    clock.advance(TTL_MS - 1);
    for (const gateway of ["x", "y"]) table.alive(gateway, 0);
  }
  for (const gateway of ["x", "y"]) table.put(gateway, "1", entryOf(), 0);
  expect(table.all.size).toBe(MANY + 1);
  clock.pause(ENTRY_LIVES + 1);
  table.alive("x", 0);
  expect(turnsOf(crowd)).toEqual([2501, 1501, 501, 2]);
  expect([...table.idsOf("x")]).toEqual(["1"]);
  timers.stop();
});

test("A client is gone when another one has its connection's id", () => {
  const { table } = emptyTable();
  table.put("x", "1", entryOf("ann"), 0);
  table.put("x", "1", entryOf("bob"), 0);
  expect(namesIn(table)).toEqual(["bob"]);
});

test("The time of grace begins anew after a pause in which nothing arrived", () => {
  const { clock, table } = emptyTable();
  table.put("x", "1", entryOf("ann"), 0);
  table.delete("x", "1");
  table.freeze();
  clock.advance(GRACE_MS);
  table.thaw(0);
  clock.advance(GRACE_MS - 1);
  expect(namesIn(table)).toEqual(["ann"]);
  clock.advance(10);
  expect(namesIn(table)).toEqual([]);
});
