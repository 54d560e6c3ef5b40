import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { delimiter, join } from "node:path";
import { ROOT } from "./installed.ts";

const CACHE = join(ROOT, ".cache");

/** A program that tests need, in a package of Debian. */
export interface DebianProgram {
  readonly package: string;
  /** The name of its file. */
  readonly program: string;
  /** The argument with which it says its version. */
  readonly version: string;
  /** Whether it needs libraries that this system may lack; they are unpacked beside it. Default: no. */
  readonly hasLibraries?: boolean;
}

/**
 * Finds a program: the first one on the `PATH`, else the one of the Debian package, unpacked into `.cache`. It is
 * not installed, as that needs root and may start a service. `undefined` where neither is to be had.
 */
export function ensureDebianProgram(wanted: DebianProgram): string | undefined {
  const folder = join(CACHE, wanted.package);
  return find(wanted, folder) ?? (unpack(wanted, folder) ? find(wanted, folder) : undefined);
}

function find({ program, version }: DebianProgram, folder: string): string | undefined {
  // Debian has servers in a folder that is not on every user's PATH.
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin"];
  const unpacked = [join(folder, "usr/sbin"), join(folder, "usr/bin"), folder];
  return [...folders.filter((path) => path !== ""), ...unpacked]
    .map((path) => join(path, program))
    .find((path) => existsSync(path) && runs(path, version));
}

/** Unpacks the whole package under another name first: half a package is never found. */
function unpack({ package: name, program, hasLibraries }: DebianProgram, folder: string): boolean {
  if (process.platform !== "linux") return false;
  mkdirSync(CACHE, { recursive: true });
  const unready = mkdtempSync(`${folder}-`);
  const names = () => (hasLibraries ? missingPackages(name) : [name]);
  const download = () => run(unready, ["apt-get", "download", ...names()]);
  // A fresh image has no package lists, and then the first attempt finds nothing.
  const isThere = download() || (run(unready, ["apt-get", "update"]) && download());
  const files = isThere ? readdirSync(unready).filter((path) => path.endsWith(".deb")) : [];
  if (files.length > 0 && files.every((file) => run(unready, ["dpkg-deb", "-x", file, "."]))) {
    if (hasLibraries) writeFileSync(join(unready, program), launcherOf(program), { mode: 0o755 });
    try {
      renameSync(unready, folder);
    } catch {
      // Another process was faster; its folder is as good.
    }
  }
  rmSync(unready, { recursive: true, force: true });
  return existsSync(folder);
}

/** Returns the package, and those that it depends on and that are not installed. */
function missingPackages(name: string): string[] {
  const args = ["install", "--simulate", "--no-install-recommends", name];
  const { stdout } = spawnSync("apt-get", args, { encoding: "utf8" });
  const missing = [...(stdout ?? "").matchAll(/^Inst (\S+)/gm)].map(([, found]) => found!);
  return missing.length === 0 ? [name] : missing;
}

function launcherOf(program: string): string {
  return `#!/bin/sh
here=$(dirname "$0")
LD_LIBRARY_PATH=$(echo "$here"/usr/lib/*-linux-gnu*) exec "$here/usr/sbin/${program}" "$@"
`;
}

function run(cwd: string, [file = "", ...args]: readonly string[]): boolean {
  return spawnSync(file, args, { cwd, stdio: ["ignore", "inherit", "inherit"] }).status === 0;
}

function runs(path: string, version: string): boolean {
  return spawnSync(path, [version], { stdio: "ignore", timeout: 10_000 }).status === 0;
}
