import { readFileSync } from "node:fs";
import { totalmem } from "node:os";

/** Where Linux tells the limit of the control group: version 2, then 1. */
const CGROUP_FILES = [
  "/sys/fs/cgroup/memory.max",
  "/sys/fs/cgroup/memory/memory.limit_in_bytes",
] as const;

/** What is assumed where nothing can be found out. */
const UNKNOWN_BYTES = 1024 ** 3;

/** The memory that this process may use: that of its container, or else of the machine, in bytes. */
export function memoryLimitBytes(): number {
  const machine = readMachineBytes();
  const limits = CGROUP_FILES.map(readLimit).filter((limit) => limit !== undefined);
  return Math.min(machine ?? UNKNOWN_BYTES, ...limits);
}

/** Deno tells only who may ask (`--allow-sys`). */
function readMachineBytes(): number | undefined {
  try {
    return totalmem();
  } catch {
    return undefined;
  }
}

/** `undefined` where there is no such file, it may not be read, or it says "max". */
function readLimit(file: string): number | undefined {
  try {
    const bytes = Number(readFileSync(file, "utf8"));
    return bytes > 0 ? bytes : undefined;
  } catch {
    return undefined;
  }
}
