import { expect, test } from "bun:test";
import { AUDIT_EVENTS, AuditLog } from "../../src/access/audit-log.ts";
import { addressGroupOf } from "../../src/http/client-address.ts";
import { ManualClock } from "../core/support/manual-clock.ts";
import { keptLog } from "./support/kept-log.ts";

function auditing() {
  const clock = new ManualClock();
  const { log, lines } = keptLog();
  return { clock, lines, audit: new AuditLog(log, clock, addressGroupOf) };
}

test("A line of the audit log has the event and its fields, without those that say nothing", () => {
  const { audit, lines } = auditing();
  const sub = "x".repeat(10_000);
  audit.record("client_authenticated", { address: "192.0.2.1", sub, jti: undefined });
  const { message } = AUDIT_EVENTS.client_authenticated;
  expect(lines).toEqual([
    {
      ...{ level: "info", message, audit: true, event: "client_authenticated", others: 0 },
      ...{ address: "192.0.2.1", sub: "x".repeat(256) },
    },
  ]);
});

test("An address causes thirty-seven lines at once and ten per second, and a line counts the others", () => {
  const { audit, lines, clock } = auditing();
  const refuse = () => audit.record("client_refused", { address: "192.0.2.1" });
  for (let n = 0; n < 100_000; n++) refuse();
  expect(lines.length).toBe(37);
  // Another event has its own lines.
  audit.record("client_connected", { client: 1 });
  expect(lines.length).toBe(38);
  clock.advance(100);
  refuse();
  expect(lines.at(-1)).toMatchObject({ event: "client_refused", others: 99_963 });
  refuse();
  expect(lines.length).toBe(39);
});

test("A client that floods the log doesn't hide others, by address or by name", () => {
  const { audit, lines, clock } = auditing();
  const isOf = (facts: object) => lines.some((line) => Bun.deepMatch(facts, line));
  for (let second = 0; second < 60; second++) {
    for (let n = 0; n < 1000; n++) {
      audit.record("client_refused", { address: `2001:db8::${n.toString(16)}` });
      audit.record("publish_denied", { address: `192.0.2.${n}`, issuer: "i", sub: "mallory" });
    }
    clock.advance(1000);
  }
  audit.record("client_refused", { address: "2001:db8:0:1::1" });
  audit.record("publish_denied", { address: "192.0.2.1", issuer: "i", sub: "ann" });
  audit.record("publish_denied", { address: "192.0.2.1" });
  expect(isOf({ event: "client_refused", address: "2001:db8:0:1::1" })).toBe(true);
  expect(isOf({ event: "publish_denied", sub: "ann" })).toBe(true);
  expect(lines.at(-1)).toMatchObject({ event: "publish_denied", address: "192.0.2.1" });
});

test("A stop tells how many lines were left out that no line counted", () => {
  const { audit, lines } = auditing();
  for (let n = 0; n < 100; n++) audit.record("client_limited", { address: "192.0.2.1" });
  audit.record("client_connected", { client: 1 });
  const { length } = lines;
  audit.stop();
  audit.stop();
  expect(lines.slice(length)).toEqual([
    {
      ...{ level: "info", message: AUDIT_EVENTS.lines_left_out.message, audit: true },
      ...{ event: "lines_left_out", left_out: "client_limited", others: 63 },
    },
  ]);
});

test("The sentence of each event names only its fields", () => {
  for (const { message, fields } of Object.values(AUDIT_EVENTS)) {
    const named = [...message.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    expect(fields).toEqual(expect.arrayContaining(named as never));
  }
});
