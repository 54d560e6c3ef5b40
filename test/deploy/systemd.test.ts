/** deploy/spillway.service, read by systemd. */
import { afterAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../../scripts/installed.ts";
import { loadConfig } from "../../src/config/load.ts";

const UNIT = readFileSync(`${ROOT}deploy/spillway.service`, "utf8");
const directory = mkdtempSync(join(tmpdir(), "spillway-systemd-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const analyze = (...args: string[]) =>
  spawnSync("systemd-analyze", ["--no-pager", ...args], { encoding: "utf8" });
const isThere = analyze("--version").status === 0;
if (!isThere)
  process.stderr.write("Skipped: the unit for systemd, as systemd-analyze is not there\n");

/** Writes the unit into a new folder, with a program that is there. */
function unit(text = UNIT, dropIn = false): string {
  const folder = mkdtempSync(join(directory, "unit-"));
  const file = join(folder, "spillway.service");
  writeFileSync(file, text.replace("=/usr/local/bin/spillway", `=${process.execPath}`));
  const more = "spillway.service.d";
  if (dropIn) cpSync(`${ROOT}deploy/${more}`, join(folder, more), { recursive: true });
  return file;
}

describe.skipIf(!isThere)("systemd", () => {
  test("takes each line of the unit, also with the drop-in", () => {
    expect(analyze("verify", unit()).stderr).toBe("");
    expect(analyze("verify", unit(UNIT, true)).stderr).toBe("");
    const wrong = UNIT.replace("ProtectHome=", "ProtectHomes=");
    expect(analyze("verify", unit(wrong)).stderr).toMatch(/Unknown key .*ProtectHomes/);
  });

  test.each([
    ["the unit", 2.0, false],
    ["the unit with the drop-in", 3.0, true],
  ])("finds %s exposed by less than %d of 10", (_, most, dropIn) => {
    const { stdout } = analyze("security", "--offline=true", unit(UNIT, dropIn));
    const [, level] = /Overall exposure level for spillway\.service: ([\d.]+)/.exec(stdout) ?? [];
    expect(Number(level)).toBeLessThan(most);
    expect(Number(level)).toBeGreaterThan(0);
  });
});

test("The unit waits longer than a drain takes, and allows a file for each client", async () => {
  const readTextFile = () => Promise.reject(new Error("no file"));
  const { config } = await loadConfig({ argv: [], env: {}, readTextFile });
  const [, seconds] = /^TimeoutStopSec=(\d+)s$/m.exec(UNIT) ?? [];
  const drainMs = config.drainDelayMs + config.drainWindowMs + config.stopTimeoutMs;
  expect(Number(seconds) * 1000).toBeGreaterThan(drainMs);
  const [, files] = /^LimitNOFILE=(\d+)$/m.exec(UNIT) ?? [];
  expect(Number(files)).toBeGreaterThan(2 * config.maxClients);
});
