import { existsSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The folder of the repository, with a slash at its end: where the service runs in tests. */
export const ROOT: string = fileURLToPath(new URL("..", import.meta.url));

/** Where packages are; imports in `test/` and in `bench/` find them there too. */
const FOLDERS = [
  "test/node_modules",
  "bench/node_modules",
  "test/install/node_modules",
  "node_modules",
];

/**
 * Returns the path of a file in an installed package.
 *
 * @param path for example `ws/package.json`
 * @throws Error when no such package is installed.
 */
export function installedFile(path: string): string {
  const found = findInstalled(path);
  if (found !== undefined) return found;
  throw new Error(`Cannot find ${path}: "node scripts/install.js test bench" installs it`);
}

/** Returns the path of a file in an installed package, `undefined` if there is none. */
export function findInstalled(path: string): string | undefined {
  return FOLDERS.map((folder) => `${ROOT}${folder}/${path}`).find((file) => existsSync(file));
}

/** The package that holds Deno's program, for each platform. */
const DENO_PACKAGES: Readonly<Record<string, string>> = {
  "linux-x64": "linux-x64-glibc",
  "linux-arm64": "linux-arm64-glibc",
  "darwin-x64": "darwin-x64",
  "darwin-arm64": "darwin-arm64",
};

/**
 * Returns the path of Deno in the version that `test/package.json` says.
 *
 * @throws Error when it is not installed, or there is none for this platform.
 */
export function findDeno(): string {
  return installedFile(`@deno/${DENO_PACKAGES[`${process.platform}-${process.arch}`]}/deno`);
}
