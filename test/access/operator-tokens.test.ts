import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { OperatorTokens } from "../../src/access/operator-tokens.ts";
import { ManualClock } from "../core/support/manual-clock.ts";
import { until } from "../support/event-log.ts";
import { keptLog } from "./support/kept-log.ts";
import { MemoryFile } from "./support/memory-file.ts";

const TOKEN = "0123456789abcdef0123456789abcdef";
const OTHER = "fedcba9876543210fedcba9876543210";
const ENTRY = { sha256: hashOf(TOKEN), sub: "ann", role: "viewer" };

function hashOf(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

async function opened(...entries: unknown[]) {
  const file = new MemoryFile(JSON.stringify(entries));
  const clock = new ManualClock();
  const { log, lines } = keptLog();
  const tokens = await OperatorTokens.open({ file, clock, log });
  tokens.start();
  return { file, clock, lines, tokens };
}

describe("An operator's token", () => {
  test("says who it is and what the operator may do", async () => {
    const operator = { sha256: hashOf(OTHER), sub: "bob", role: "operator" };
    const { tokens } = await opened(ENTRY, operator);
    expect(await tokens.find(TOKEN)).toEqual({ sub: "ann", role: "viewer" });
    expect(await tokens.find(OTHER)).toEqual({ sub: "bob", role: "operator" });
    expect(await tokens.find(`${TOKEN}0`)).toBeUndefined();
    expect(await tokens.find(hashOf(TOKEN))).toBeUndefined();
    expect(await tokens.find("")).toBeUndefined();
  });

  test("counts until it expires", async () => {
    const { tokens, clock } = await opened({ ...ENTRY, expires: "1970-01-01T00:00:10Z" });
    clock.advance(9_999 - clock.wallMs());
    expect(await tokens.find(TOKEN)).toMatchObject({ sub: "ann" });
    clock.advance(1);
    expect(await tokens.find(TOKEN)).toBeUndefined();
  });

  test("that is taken out of the file counts no more; a broken file changes nothing", async () => {
    const { tokens, file, lines } = await opened(ENTRY);
    file.write("[{]");
    await until(
      "an error",
      async () => lines.length,
      (count) => count === 1,
    );
    expect(lines[0]).toMatchObject({ level: "error", event: "file_reload_failed" });
    expect(await tokens.find(TOKEN)).toBeDefined();
    file.write("[]");
    await until(
      "the new file",
      async () => lines.length,
      (count) => count === 2,
    );
    expect(await tokens.find(TOKEN)).toBeUndefined();
    tokens.stop();
    expect(file.watchers).toBe(0);
  });
});

test.each([
  [{ ...ENTRY, role: "root" }, 'has [0].role, which must be "viewer" or "operator"'],
  [{ ...ENTRY, role: undefined }, 'has [0].role, which must be "viewer" or "operator"'],
  [{ ...ENTRY, sub: "" }, "has [0].sub, which must be a text of 1 to 256 characters"],
  [{ ...ENTRY, sha256: "00" }, "has [0].sha256, which must be 64 hexadecimal digits"],
  [{ ...ENTRY, roles: [] }, 'has the unknown field "roles" in [0]'],
])("A file with %j is refused", async (entry, message) => {
  await expect(opened(entry)).rejects.toThrow(message);
});
