import { existsSync } from "node:fs";
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
