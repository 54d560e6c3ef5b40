import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { isCloudflare } from "../runtime/detect.ts";

/** Linux' files with the limit of the control group: version 2, then 1. */
const CGROUP_FILES = [
  "/sys/fs/cgroup/memory.max",
  "/sys/fs/cgroup/memory/memory.limit_in_bytes",
] as const;

/** The assumed limit if none can be read. */
const UNKNOWN_BYTES = 1024 ** 3;

/** The limit of an isolate of Cloudflare Workers (https://developers.cloudflare.com/workers/platform/limits/#memory). */
const CLOUDFLARE_BYTES = 128 * 1024 ** 2;

/** Returns the memory in bytes that this process may use: that of its container, or else of the machine. */
export function memoryLimitBytes(): number {
  if (isCloudflare()) return CLOUDFLARE_BYTES;
  const machine = readMachineBytes();
  const limits = CGROUP_FILES.map(readLimit).filter((limit) => limit !== undefined);
  return Math.min(machine ?? UNKNOWN_BYTES, ...limits);
}

/** Returns `undefined` on Deno without `--allow-sys`. */
function readMachineBytes(): number | undefined {
  try {
    return totalmem();
  } catch {
    return undefined;
  }
}

/** Returns `undefined` if the file is missing or not readable, or says "max". */
function readLimit(file: string): number | undefined {
  try {
    const bytes = Number(readFileSync(file, "utf8"));
    return bytes > 0 ? bytes : undefined;
  } catch {
    return undefined;
  }
}
