// `npm run build`, and `prepare` after an install: plain JavaScript, as any Node, Bun or Deno may run it.
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, realpathSync, rmSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const COMPILER = `${ROOT}node_modules/typescript/bin/tsc`;

/**
 * Builds `dist/` from scratch: JavaScript, source maps and type declarations of `src/`.
 *
 * @throws {Error} when a file does not compile; the compiler has printed the reason.
 */
export function build() {
  rmSync(`${ROOT}dist`, { recursive: true, force: true });
  // Uses this runtime: a machine with only Bun has no `node` for the first line of tsc.
  const command = "Deno" in globalThis ? ["run", "--allow-all", COMPILER] : [COMPILER];
  const { error, status } = spawnSync(
    process.execPath,
    [...command, "-p", `${ROOT}tsconfig.build.json`],
    { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] },
  );
  if (status !== 0) {
    const reason = error?.message ?? `exit code ${status}`;
    throw new Error(`Cannot build dist/: tsc ended with ${reason}`);
  }
  // The compiler does not mark the command as executable.
  chmodSync(`${ROOT}dist/server.js`, 0o755);
}

if (realpathSync(process.argv[1] ?? "") === fileURLToPath(import.meta.url)) {
  // `npm install --omit=dev` brings no compiler, and runs the service from source.
  const isPrepare = process.argv.includes("--if-compiler");
  if (!isPrepare || existsSync(COMPILER)) build();
}
