/**
 * Loaded before a program: its wall clock is ahead by the milliseconds in the file that `TEST_CLOCK` names, which is read at
 * each SIGUSR2. The clock that only moves forward is left alone, as it is when somebody sets a machine's clock.
 */
import { readFileSync } from "node:fs";
import process from "node:process";

const SystemDate = Date;
const file = process.env.TEST_CLOCK!;
let aheadMs = 0;

globalThis.Date = new Proxy(SystemDate, {
  construct: (_, parts: [], target) =>
    Reflect.construct(SystemDate, parts.length === 0 ? [now()] : parts, target),
  get: (_, key) => (key === "now" ? now : Reflect.get(SystemDate, key)),
});

process.on("SIGUSR2", () => {
  aheadMs = Number(readFileSync(file, "utf8"));
});

function now(): number {
  return SystemDate.now() + aheadMs;
}
