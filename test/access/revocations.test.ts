import { describe, expect, test } from "bun:test";
import { revocationKey } from "../../src/access/revocation-entry.ts";
import { Revocations } from "../../src/access/revocations.ts";
import { Grant } from "../../src/core/access/grant.ts";
import { grantOf } from "../core/support/auth-harness.ts";
import { ManualClock } from "../core/support/manual-clock.ts";

const LIFE_MS = 3_600_000;
const START_MS = ManualClock.WALL_START_MS;
const log = { debug() {}, info() {}, warn() {}, error() {} };

function begin(longestLifeMs = LIFE_MS) {
  const clock = new ManualClock();
  const warnings: unknown[] = [];
  const warn = (_: string, properties: unknown): void => void warnings.push(properties);
  const list = new Revocations({ longestLifeMs, clock, log: { ...log, warn, error: warn } });
  return { clock, list, warnings };
}

/** A grant of a token that was issued so many milliseconds after the clock began. */
function issued(issuedMs: number, id?: string, sub = "ann"): Grant {
  const { terms } = grantOf({ sub });
  const token = { id, issuedAtMs: START_MS + issuedMs, expiresAtMs: Number.POSITIVE_INFINITY };
  return new Grant([">"], { ...terms, token });
}

describe("Revocation of a sub", () => {
  test("is of the tokens that were issued before, of that name alone", () => {
    const { list } = begin();
    list.add({ claim: "sub", value: "ann", issuedBeforeMs: START_MS + 1000 });
    expect(list.isRevoked(issued(999))).toBe(true);
    expect(list.isRevoked(issued(1000))).toBe(false);
    expect(list.isRevoked(issued(0, "ann", "bob"))).toBe(false);
  });

  test("is not of a client without a token", () => {
    const { list } = begin();
    list.add({ claim: "sub", value: "", issuedBeforeMs: START_MS + 1000 });
    expect(list.isRevoked(issued(0, undefined, ""))).toBe(true);
    const { terms } = issued(0, undefined, "");
    expect(list.isRevoked(new Grant([">"], { ...terms, token: undefined }))).toBe(false);
  });
});

test("Revocation of a jti is of that token alone", () => {
  const { list } = begin();
  list.add({ claim: "jti", value: "7", issuedBeforeMs: START_MS + 1000 });
  expect(list.isRevoked(issued(0, "7"))).toBe(true);
  expect(list.isRevoked(issued(0, "8"))).toBe(false);
  expect(list.isRevoked(issued(0, undefined, "7"))).toBe(false);
});

test("Of two revocations for one name the later time counts, in whatever order they come", () => {
  const { list } = begin();
  for (const ms of [1000, 3000, 2000]) {
    list.add({ claim: "sub", value: "ann", issuedBeforeMs: START_MS + ms });
  }
  expect(list.isRevoked(issued(2999))).toBe(true);
  expect(list.size).toBe(1);
});

test("Revocations that come together are told once", () => {
  const { list, clock } = begin();
  let told = 0;
  list.onRevoked = () => void told++;
  for (const value of ["a", "b", "c"]) {
    list.add({ claim: "sub", value, issuedBeforeMs: START_MS + 1000 });
  }
  expect(told).toBe(0);
  clock.advance(1000);
  expect(told).toBe(1);
  list.add({ claim: "sub", value: "c", issuedBeforeMs: START_MS + 500 });
  clock.advance(1000);
  expect(told).toBe(1);
  expect(clock.timers).toBe(0);
});

test("A key that is written revokes, one that is deleted no longer does, and one that can't be read is logged", () => {
  const { list, warnings } = begin();
  const key = revocationKey({ claim: "sub", value: "ann" });
  list.changed(key, new Uint8Array(), START_MS + 1000);
  expect(list.isRevoked(issued(999))).toBe(true);
  list.changed(key, undefined, START_MS + 2000);
  expect(list.isRevoked(issued(999))).toBe(false);
  for (const bad of ["sub.*", "x"]) list.changed(bad, new Uint8Array(), START_MS);
  expect(warnings).toEqual([{ event: "revocation_unreadable", key: "sub.*", others: 0 }]);
  expect(list.size).toBe(0);
});

test("Revocations are forgotten when no token that they revoke can be valid", () => {
  const { list, clock } = begin();
  const add = (n: number): void =>
    list.add({ claim: "jti", value: `${n}`, issuedBeforeMs: clock.wallMs() });
  for (let n = 0; n < 100_000; n++) {
    add(n);
    clock.pause(LIFE_MS / 1000);
  }
  expect(list.size).toBeLessThan(3000);
  // All that may still be of use are there.
  for (let n = 99_000; n < 100_000; n++) {
    const issuedMs = n * (LIFE_MS / 1000) - 1;
    expect(list.isRevoked(issued(issuedMs, `${n}`))).toBe(true);
  }
  list.add({ claim: "sub", value: "old", issuedBeforeMs: START_MS });
  expect(list.isRevoked(issued(-1, undefined, "old"))).toBe(false);
});

test("Revocations of tokens that may never expire are kept, up to a million of them", () => {
  const { list, clock, warnings } = begin(Number.POSITIVE_INFINITY);
  const add = (n: number): void =>
    list.add({ claim: "jti", value: `${n}`, issuedBeforeMs: START_MS });
  for (let n = 0; n < 2000; n++) add(n);
  clock.pause(10 * 365 * 86_400_000);
  for (let n = 2000; n < 1_000_000; n++) add(n);
  expect([list.size, warnings]).toEqual([1_000_000, []]);
  expect(list.isRevoked(issued(-1, "0"))).toBe(true);
  add(1_000_000);
  expect(list.size).toBe(1_000_000);
  expect(list.isRevoked(issued(-1, "0"))).toBe(false);
  expect(list.isRevoked(issued(-1, "1"))).toBe(true);
  expect(warnings).toEqual([{ event: "revocations_full", most: 1_000_000, others: 0 }]);
  // One that is renewed is the newest one.
  list.add({ claim: "jti", value: "1", issuedBeforeMs: START_MS + 1 });
  add(1_000_001);
  expect(list.isRevoked(issued(-1, "1"))).toBe(true);
  expect(list.isRevoked(issued(-1, "2"))).toBe(false);
});
