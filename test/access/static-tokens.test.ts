import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { STATIC_TOKENS_ISSUER, StaticTokens } from "../../src/access/static-tokens.ts";
import { ManualClock } from "../core/support/manual-clock.ts";
import { until } from "../support/event-log.ts";
import { keptLog } from "./support/kept-log.ts";
import { MemoryFile } from "./support/memory-file.ts";
import { WITH_NOTHING, withPassword, withToken } from "./support/requests.ts";

const TOKEN = "0123456789abcdef0123456789abcdef";
const OTHER = "fedcba9876543210fedcba9876543210";
const DETAILS = [{ type: "spillway", subjects: { allow: ["orders.{sub}.>"] } }];
const ENTRY = { sha256: hashOf(TOKEN), sub: "u_42", authorization_details: DETAILS };

function hashOf(token: string): string {
  return createHash("sha256").update(token).digest("hex");
}

async function opened(...entries: unknown[]) {
  const file = new MemoryFile(JSON.stringify(entries));
  const clock = new ManualClock();
  const { log, lines } = keptLog();
  const tokens = await StaticTokens.open({ file, clock, log });
  tokens.start();
  const ask = (token: string) => tokens.authenticate(withToken(token));
  return { file, clock, lines, tokens, ask };
}

describe("A static token", () => {
  test("proves who its client is", async () => {
    const { ask } = await opened({ ...ENTRY, sha256: hashOf(TOKEN).toUpperCase() });
    expect(await ask(TOKEN)).toEqual({
      principal: { issuer: STATIC_TOKENS_ISSUER, sub: "u_42" },
      permissions: expect.objectContaining({ receives: { allow: ["orders.u_42.>"], deny: [] } }),
      tokenId: hashOf(TOKEN).slice(0, 32),
      issuedAtMs: Number.NEGATIVE_INFINITY,
      expiresAtMs: undefined,
    } as never);
  });

  test("that isn't in the file is left to others, and so is everything else", async () => {
    const { ask, tokens } = await opened(ENTRY);
    expect(await ask(OTHER)).toBeUndefined();
    expect(await ask(`${TOKEN} `)).toBeUndefined();
    expect(await ask(hashOf(TOKEN))).toBeUndefined();
    expect(await ask("x".repeat(100_000))).toBeUndefined();
    expect(await tokens.authenticate(WITH_NOTHING)).toBeUndefined();
    expect(await tokens.authenticate(withPassword("u_42", TOKEN))).toBeUndefined();
  });

  test("of fewer than 32 characters counts for nothing", async () => {
    const short = TOKEN.slice(1);
    const { ask } = await opened({ ...ENTRY, sha256: hashOf(short) });
    expect(await ask(short)).toBeUndefined();
  });

  test("is refused from its expiry on", async () => {
    const issued = "2026-01-01T00:00:00+01:00";
    const { ask, clock } = await opened({ ...ENTRY, issued, expires: "2026-01-01T00:01:00Z" });
    clock.advance(59_999);
    expect(await ask(TOKEN)).toMatchObject({
      issuedAtMs: ManualClock.WALL_START_MS - 3_600_000,
      expiresAtMs: ManualClock.WALL_START_MS + 60_000,
    });
    clock.advance(1);
    expect(await ask(TOKEN)).toEqual({
      kind: "unauthenticated",
      message: "The token has expired",
    });
  });

  test("counts or not as the file says now", async () => {
    const { ask, file } = await opened(ENTRY);
    file.write(JSON.stringify([{ ...ENTRY, sha256: hashOf(OTHER) }]));
    await until(
      "new token",
      () => ask(OTHER),
      (answer) => answer !== undefined,
    );
    expect(await ask(TOKEN)).toBeUndefined();
  });
});

describe("A file of static tokens", () => {
  test.each<[string, unknown[], string]>([
    ["a text", ["x"], "[0]"],
    ["no hash", [{ ...ENTRY, sha256: undefined }], "[0].sha256"],
    ["a hash that is too short", [{ ...ENTRY, sha256: "ab" }], "[0].sha256"],
    [
      "a token in the place of its hash",
      [{ ...ENTRY, sha256: `${TOKEN}${OTHER.slice(1)}x` }],
      "sha256",
    ],
    ["a hash twice", [ENTRY, { ...ENTRY, sha256: ENTRY.sha256.toUpperCase() }], "twice"],
    ["no sub", [{ ...ENTRY, sub: undefined }], '"sub"'],
    ["a sub with NUL", [{ ...ENTRY, sub: "a\0" }], '"sub"'],
    ["an unknown field", [{ ...ENTRY, expire: "2026-01-01T00:00:00Z" }], '"expire"'],
    ["an expiry in seconds", [{ ...ENTRY, expires: 1_790_000_000 }], "[0].expires"],
    ["an expiry without an offset", [{ ...ENTRY, expires: "2026-01-01T00:00:00" }], "[0].expires"],
    ["a day that doesn't exist", [{ ...ENTRY, expires: "2026-13-01T00:00:00Z" }], "[0].expires"],
    ["an issue that is no time", [{ ...ENTRY, issued: "now" }], "[0].issued"],
    ["no permissions", [{ ...ENTRY, authorization_details: undefined }], "have no entry"],
    [
      "a template that has no value",
      [
        {
          ...ENTRY,
          authorization_details: [{ type: "spillway", subjects: { allow: ["{tenant}"] } }],
        },
      ],
      '"tenant"',
    ],
  ])("can't have %s", async (_, entries, reason) => {
    const { name, message } = await opened(...entries).then(
      () => new Error("it was accepted"),
      (thrown: Error) => thrown,
    );
    expect(name).toBe("FileFault");
    expect(message).toContain(reason);
    expect(message).not.toContain(TOKEN);
  });

  test.each(["", "{}", "[", '[{"sha256":1,"sha256":1}]', "null"])("can't be %j", async (text) => {
    const { log } = keptLog();
    const file = new MemoryFile(text);
    await expect(StaticTokens.open({ file, clock: new ManualClock(), log })).rejects.toThrow();
  });

  test("may be empty, and isn't watched after the stop", async () => {
    const { ask, tokens, file } = await opened();
    expect(await ask(TOKEN)).toBeUndefined();
    tokens.stop();
    expect(file.watchers).toBe(0);
  });
});
