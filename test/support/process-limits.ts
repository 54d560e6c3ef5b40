import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";

/** The program of util-linux that sets the limits of a running process. */
const PRLIMIT = "/usr/bin/prlimit";
/** A limit of file descriptors that is enough. */
const ENOUGH_FILES = 1024;

/** Whether this machine can limit running processes. */
export const CAN_LIMIT = existsSync(PRLIMIT);

/** Sets a process's soft limit of a resource: file descriptors, or the bytes of a file that it writes. */
export function limit(
  pid: number,
  resource: "nofile" | "fsize",
  value: number | "unlimited",
): void {
  const args = ["--pid", `${pid}`, `--${resource}=${value}:`];
  const { status, stderr } = spawnSync(PRLIMIT, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`prlimit: ${stderr}`);
}

/** Leaves a process no file descriptors. @returns gives it enough again. */
export function useUpFiles(pid: number): () => void {
  limit(pid, "nofile", readdirSync(`/proc/${pid}/fd`).length);
  return () => limit(pid, "nofile", ENOUGH_FILES);
}
