import { findInstalled, installedFile } from "../../scripts/installed.ts";

/**
 * The newest Node, and the oldest that is supported (both in `test/package.json`); an older one from which
 * the service is still installed (in `test/install/package.json`).
 */
export type NodeAlias = "node" | "node22" | "node20";

/** How the packages that hold Node's program end, for each platform. */
const PLATFORMS: Readonly<Record<string, string>> = {
  "linux-x64": "linux-x64",
  "linux-arm64": "linux-arm64",
  "darwin-x64": "darwin-x64",
  "darwin-arm64": "bin-darwin-arm64",
};

/**
 * Returns the path of Node in the version that `package.json` there says.
 *
 * @throws Error when it is not installed, or there is none for this platform.
 */
export function ensureNode(alias: NodeAlias): string {
  const platform = PLATFORMS[`${process.platform}-${process.arch}`];
  if (platform === undefined) {
    throw new Error(`Cannot find ${alias}: none for ${process.platform}-${process.arch}`);
  }
  // Before the tests had packages of their own, Node was in a package by the alias.
  return findInstalled(`${alias}/bin/node`) ?? installedFile(`${alias}-${platform}/bin/node`);
}
