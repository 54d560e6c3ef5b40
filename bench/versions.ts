import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { installedFile } from "../scripts/installed.ts";
import { ensureNode } from "../test/support/node-binary.ts";
import { findDeno } from "../test/support/runtimes.ts";

const PACKAGES = ["nats", "ws", "socket.io", "@hono/node-server"];

/**
 * Returns the versions of all that is measured.
 *
 * @param natsServer the path of its binary.
 */
export function findVersions(natsServer: string): Record<string, string> {
  const versionOf = (file: string): string => {
    const { stdout } = spawnSync(file, ["--version"], { encoding: "utf8" });
    return /\d+\.\d+\.\d+/.exec(stdout)?.[0] ?? "unknown";
  };
  const packages = PACKAGES.map((name) => {
    const manifest = readFileSync(installedFile(`${name}/package.json`), "utf8");
    return [name, (JSON.parse(manifest) as { version: string }).version];
  });
  return {
    Bun: Bun.version,
    Node: versionOf(ensureNode("node")),
    Deno: versionOf(findDeno()),
    "nats-server": versionOf(natsServer),
    ...Object.fromEntries(packages),
  };
}
