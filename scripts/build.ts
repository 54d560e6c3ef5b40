import { spawnSync } from "node:child_process";
import { chmodSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/**
 * Makes `dist/` anew: JavaScript, source maps and type declarations of `src/`.
 *
 * @throws Error where a file does not compile; the compiler has said why on the way.
 */
export function build(): void {
  rmSync(`${ROOT}dist`, { recursive: true, force: true });
  // Through this runtime, as a machine that has only Bun has no `node` for tsc's first line.
  const compiler = `${ROOT}node_modules/typescript/bin/tsc`;
  const { error, status } = spawnSync(
    process.execPath,
    [compiler, "-p", `${ROOT}tsconfig.build.json`],
    { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] },
  );
  if (status !== 0) {
    throw new Error(
      `Cannot build dist/: tsc ended with ${error?.message ?? `exit code ${status}`}`,
    );
  }
  // Compilers do not carry over that the command may be run by its name.
  chmodSync(`${ROOT}dist/server.js`, 0o755);
}

if (import.meta.main) build();
