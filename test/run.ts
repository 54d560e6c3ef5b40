/**
 * `npm test`: all tests, or those that the arguments name as `bun test` understands them. Sees
 * first to what they need: `nats-server`, a browser, a `dist/` of these very sources.
 *
 * The last line is `N passed, N failed`; the exit code is 1 where a test failed or none ran.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { build } from "../scripts/build.js";
import { ensureChromium } from "../scripts/install-chromium.ts";
import { ensureNatsServer, ensureOldestNatsServer } from "../scripts/install-nats-server.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const TEST_TIMEOUT_MS = 60_000;

await ensureNatsServer();
ensureOldestNatsServer();
await ensureChromium();
build();
const { passed, failed, code } = await bunTest(process.argv.slice(2));
process.stdout.write(`${passed} passed, ${failed} failed\n`);
process.exitCode = code === 0 && failed === 0 && passed > 0 ? 0 : 1;

/** Runs `bun test` with its output shown as it comes, and counts what its summary says. */
async function bunTest(
  args: readonly string[],
): Promise<{ passed: number; failed: number; code: number | null }> {
  const child = spawn(
    process.execPath,
    ["test", `--timeout=${TEST_TIMEOUT_MS}`, "--preload=./test/support/leave-nothing.ts", ...args],
    { cwd: ROOT, stdio: ["ignore", "inherit", "pipe"] },
  );
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  const count = { pass: 0, fail: 0, error: 0 };
  for await (const line of createInterface({ input: child.stderr })) {
    process.stderr.write(`${line}\n`);
    const [, number, what] = /^ *(\d+) (pass|fail|error)s?$/.exec(line) ?? [];
    if (what !== undefined) count[what as keyof typeof count] = Number(number);
  }
  // What is thrown outside of a test is an error, and not always a failed test as well.
  const failed = Math.max(count.fail, count.error);
  return { passed: count.pass, failed, code: await ended };
}
