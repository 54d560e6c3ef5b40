import { expect, test } from "bun:test";
import { Quotas } from "../../../src/core/publishing/quotas.ts";
import { grantOf } from "../support/auth-harness.ts";
import { ManualClock } from "../support/manual-clock.ts";

const LIMITS = { maxPublishesPerSecond: 1 };

const senderOf = (sub: string, issuer = "i", address = "192.0.2.1") => ({
  grant: grantOf({ sub, issuer }),
  address,
  addressGroup: address,
});

test("A user has one quota at all addresses, anonymous clients one of their address", () => {
  const quotas = new Quotas(new ManualClock(), LIMITS);
  const ann = quotas.of(senderOf("ann"));
  expect(quotas.of(senderOf("ann", "i", "192.0.2.2"))).toBe(ann);
  expect(quotas.of(senderOf("ann", "other"))).not.toBe(ann);
  const anonymous = quotas.of(senderOf("", ""));
  expect(quotas.of(senderOf("", ""))).toBe(anonymous);
  expect(quotas.of(senderOf("", "", "192.0.2.2"))).not.toBe(anonymous);
});

test("A quota is forgotten as soon as a new one is as good, and not while messages wait", () => {
  const clock = new ManualClock();
  const quotas = new Quotas(clock, LIMITS);
  const used = quotas.of(senderOf("used"));
  used.rate.take(clock.nowMs());
  const busy = quotas.of(senderOf("busy"));
  busy.places = 1;
  quotas.of(senderOf("other"));
  expect(quotas.of(senderOf("used"))).toBe(used);
  clock.advance(1_000);
  for (const sub of ["1", "2", "3"]) quotas.of(senderOf(sub));
  expect(quotas.of(senderOf("used"))).not.toBe(used);
  expect(quotas.of(senderOf("busy"))).toBe(busy);
});

test("A quota is not forgotten while its answers are unread", () => {
  const clock = new ManualClock();
  const quotas = new Quotas(clock, LIMITS);
  const reader = { isOver: false, writer: { bufferedBytes: 1 } };
  const unread = quotas.of(senderOf("unread"));
  unread.readers.add(reader);
  for (const sub of ["1", "2"]) quotas.of(senderOf(sub));
  expect(quotas.of(senderOf("unread"))).toBe(unread);
  reader.writer.bufferedBytes = 0;
  for (const sub of ["3", "4", "5"]) quotas.of(senderOf(sub));
  expect(quotas.of(senderOf("unread"))).not.toBe(unread);
});

test("There are at most 20,000 quotas: the one that was unused for the longest time is forgotten, even if it is unread", () => {
  const clock = new ManualClock();
  const quotas = new Quotas(clock, LIMITS);
  const use = (sub: string) => {
    const quota = quotas.of(senderOf(sub));
    quota.rate.take(clock.nowMs());
    return quota;
  };
  const busy = use("busy");
  busy.places = 1;
  const first = use("first");
  const second = use("second");
  second.readers.add({ isOver: false, writer: { bufferedBytes: 1 } });
  for (let n = 3; n < 20_000; n++) use(`${n}`);
  expect(use("first")).toBe(first);
  use("one more");
  expect(use("busy")).toBe(busy);
  expect(use("first")).toBe(first);
  expect(use("second")).not.toBe(second);
});
