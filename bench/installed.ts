import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../test/support/runtimes.ts";

/** What a user gets who installs the package. */
export interface Installed {
  readonly packages: number;
  readonly bytes: number;
}

/** Adds up the production dependencies, which are those that `npm ls --omit=dev --all` lists. */
export function measureInstalled(): Installed {
  const { packages } = JSON.parse(readFileSync(`${ROOT}package-lock.json`, "utf8")) as {
    packages: Record<string, { dev?: boolean; devOptional?: boolean }>;
  };
  const folders = Object.entries(packages)
    .filter(([path, { dev, devOptional }]) => path !== "" && !dev && !devOptional)
    .map(([path]) => join(ROOT, path));
  return {
    packages: folders.length,
    bytes: folders.reduce((sum, folder) => sum + sizeOf(folder), 0),
  };
}

/** Without the packages inside, which the lockfile lists too. */
function sizeOf(folder: string): number {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.name !== "node_modules")
    .map((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? sizeOf(path) : statSync(path).size;
    })
    .reduce((sum, size) => sum + size, 0);
}
