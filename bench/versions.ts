import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { installedFile } from "../scripts/installed.ts";
import { ensureNode } from "../test/support/node-binary.ts";
import { findDeno } from "../test/support/runtimes.ts";

const PACKAGES = ["nats", "ws", "socket.io", "@hono/node-server"];

/**
 * Of all that is measured.
 *
 * @param natsServer where its binary is.
 */
export function findVersions(natsServer: string): Record<string, string> {
  return {
    Bun: Bun.version,
    Node: said(ensureNode("node")),
    Deno: said(findDeno()),
    "nats-server": said(natsServer),
    ...Object.fromEntries(PACKAGES.map((name) => [name, packageVersion(name)])),
  };
}

function packageVersion(name: string): string {
  const manifest = readFileSync(installedFile(`${name}/package.json`), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}

function said(file: string): string {
  const { stdout } = spawnSync(file, ["--version"], { encoding: "utf8" });
  return /\d+\.\d+\.\d+/.exec(stdout)?.[0] ?? "unknown";
}
