import { expect, test } from "bun:test";
import { StatusReporter } from "../../src/source/status-reporter.ts";
import { Recorder } from "./recorder.ts";

test("NATS that is away is logged when it goes, with each new reason, and now and again until it is back", async () => {
  const recorder = new Recorder();
  const reporter = new StatusReporter(recorder.log, recorder, 20);
  for (let attempt = 0; attempt < 50; attempt++) {
    for (const reason of ["refused", "timeout"]) reporter.change({ state: "connecting", reason });
  }
  const warnings = () => recorder.lines.entries.map(({ text }) => text);
  expect(warnings()).toEqual(["Not connected to NATS: refused", "Not connected to NATS: timeout"]);
  await recorder.lines.take(4);
  expect(
    warnings()
      .slice(2)
      .every((text) => /^Still not .* after 0 s: timeout$/.test(text)),
  ).toBe(true);
  reporter.change({ state: "connected", to: "here" });
  reporter.change({ state: "connecting", reason: "refused" });
  const [connected, lost] = warnings().slice(-2);
  expect([connected, lost]).toEqual([
    "Connected to NATS at here",
    "Not connected to NATS: refused",
  ]);
  // However many reasons there are, not all of them are lines.
  for (let n = 0; n < 50; n++) reporter.change({ state: "connecting", reason: `reason ${n}` });
  expect(warnings().filter((text) => text.includes("reason"))).toHaveLength(4);
  reporter.change({ state: "idle" });
});
