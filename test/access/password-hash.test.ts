import { describe, expect, test } from "bun:test";
import {
  hashPassword,
  hasPassword,
  impossibleHash,
  type PasswordHash,
  parsePasswordHash,
} from "../../src/access/password-hash.ts";
import { passwordHashText } from "./support/password-hash-text.ts";

function parsed(text: string): PasswordHash {
  const hash = parsePasswordHash(text);
  if (typeof hash === "string") throw new Error(hash);
  return hash;
}

describe("A password's hash", () => {
  test("is different each time, and fits only its password", async () => {
    const [one, two] = [await hashPassword("hunter2"), await hashPassword("hunter2")];
    expect(one).not.toBe(two);
    expect(one).toMatch(/^scrypt\$32768\$8\$3\$[\w-]{22}\$[\w-]{43}$/);
    expect(await hasPassword("hunter2", parsed(one))).toBe(true);
    expect(await hasPassword("hunter3", parsed(one))).toBe(false);
    expect(await hasPassword("", parsed(one))).toBe(false);
  });

  test.each([
    [2 ** 14, 8, 1],
    [2 ** 14, 16, 2],
    [2 ** 17, 8, 1],
  ])("may come from another program with N = %d, r = %d, p = %d", async (cost, r, p) => {
    expect(await hasPassword("hunter2", parsed(passwordHashText("hunter2", [cost, r, p])))).toBe(
      true,
    );
  });

  test("that is impossible costs as much as one that is made here", () => {
    const { salt, hash, ...parameters } = impossibleHash();
    expect(parameters).toEqual({ cost: 32768, blockSize: 8, parallelization: 3 });
    expect([salt.length, hash.length]).toEqual([16, 32]);
  });

  test.each([
    ["", "must be"],
    ["hunter2", "must be"],
    ["scrypt$16384$8$1$AAAA", "must be"],
    ["$2b$10$abcdefghijklmnopqrstuv", "must be"],
    ["scrypt$8192$8$1$SALT$HASH", "a power of two for N"],
    ["scrypt$20000$8$1$SALT$HASH", "a power of two for N"],
    ["scrypt$0$8$1$SALT$HASH", "a power of two for N"],
    ["scrypt$16384$1$1$SALT$HASH", "8 or more for r"],
    ["scrypt$16384$8$0$SALT$HASH", "1 to 8 for p"],
    ["scrypt$16384$8$9$SALT$HASH", "1 to 8 for p"],
    ["scrypt$262144$8$1$SALT$HASH", "must not need more than"],
    ["scrypt$16384$999$1$SALT$HASH", "must not need more than"],
    ["scrypt$16384$8$1$AAAA$HASH", "16 to 64 bytes for its salt"],
    ["scrypt$16384$8$1$SALT$AAAA", "32 to 64 bytes for its hash"],
    [`scrypt$16384$8$1$SALT$${"A".repeat(200)}`, "32 to 64 bytes for its hash"],
  ])("can't be %s", (text, reason) => {
    const filled = text.replace("SALT", "A".repeat(22)).replace("HASH", "A".repeat(43));
    expect(parsePasswordHash(filled)).toContain(reason);
  });
});
