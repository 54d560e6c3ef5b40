import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { delimiter, join } from "node:path";
import { ROOT } from "./installed.ts";

const CACHE = join(ROOT, ".cache");

/** A reverse proxy that the README shows, by the name of its Debian package and of its program. */
export type ProxyName = "nginx" | "caddy";

/** What to do where {@linkcode ensureProxy} finds none. */
export const PROXY_ADVICE = "install nginx and Caddy so that they are on the PATH";

/**
 * Where a proxy's program is: the first one on the `PATH`, else the one of the Debian package, unpacked into
 * `.cache`. It is not installed, as that would start a service. `undefined` where neither is to be had; tests
 * that need the proxy are skipped there.
 */
export function ensureProxy(name: ProxyName): string | undefined {
  const folder = join(CACHE, name);
  return find(name, folder) ?? (unpack(name, folder) ? find(name, folder) : undefined);
}

function find(name: ProxyName, folder: string): string | undefined {
  // Debian has nginx in a folder that is not on every user's PATH.
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin"];
  const unpacked = [join(folder, "usr/sbin"), join(folder, "usr/bin")];
  return [...folders.filter((path) => path !== ""), ...unpacked]
    .map((path) => join(path, name))
    .find((path) => existsSync(path) && runs(name, path));
}

/** Unpacks the whole package under another name first: half a package is never found. */
function unpack(name: ProxyName, folder: string): boolean {
  if (process.platform !== "linux") return false;
  mkdirSync(CACHE, { recursive: true });
  const unready = mkdtempSync(`${folder}-`);
  const download = () => run(unready, ["apt-get", "download", name]);
  // A fresh image has no package lists, and then the first attempt finds nothing.
  const isThere = download() || (run(unready, ["apt-get", "update"]) && download());
  const file = isThere ? readdirSync(unready).find((path) => path.endsWith(".deb")) : undefined;
  if (file !== undefined && run(unready, ["dpkg-deb", "-x", file, "."])) {
    try {
      renameSync(unready, folder);
    } catch {
      // Another process was faster; its folder is as good.
    }
  }
  rmSync(unready, { recursive: true, force: true });
  return existsSync(folder);
}

function run(cwd: string, [file = "", ...args]: readonly string[]): boolean {
  return spawnSync(file, args, { cwd, stdio: ["ignore", "inherit", "inherit"] }).status === 0;
}

function runs(name: ProxyName, path: string): boolean {
  const version = name === "nginx" ? "-v" : "version";
  return spawnSync(path, [version], { stdio: "ignore", timeout: 10_000 }).status === 0;
}
