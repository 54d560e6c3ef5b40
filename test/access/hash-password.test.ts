import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { hasPassword, parsePasswordHash } from "../../src/access/password-hash.ts";
import { RUNTIMES } from "../support/host-program.ts";
import { ROOT, TARGETS } from "../support/runtimes.ts";

function run(name: (typeof RUNTIMES)[number], input: string) {
  const [program = "", ...args] = TARGETS[name].command();
  const all = [...args, "--hash-password"];
  return spawnSync(program, all, { cwd: ROOT, input, encoding: "utf8", timeout: 30_000 });
}

describe.each(RUNTIMES)("--hash-password on %s", (name) => {
  test("prints the hash of the first line of its input", async () => {
    const { status, stdout, stderr } = run(name, "corréct horse\r\nhunter2\n");
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const hash = parsePasswordHash(stdout.trimEnd());
    if (typeof hash === "string") throw new Error(hash);
    expect(await hasPassword("corréct horse", hash)).toBe(true);
  });

  test.each(["", "\nhunter2", "x".repeat(1025)])("ends with 1 without a password", (input) => {
    const { status, stdout, stderr } = run(name, input);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toContain("must have 1 to 1024 characters");
  });
});
