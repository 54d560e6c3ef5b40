import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";

/** Descriptors that are not for clients: connections to NATS, name lookups, files. */
const RESERVED = 16;
/** Maximum of files that are opened to find the limit: more would slow down the start. */
const MOST_TRIED = 16_384;
const NULL_DEVICE = "/dev/null";
/** Linux' lists of the limits of this process, and of its open files. */
export const LIMITS_FILE = "/proc/self/limits";
export const OPEN_FILES = "/proc/self/fd";

/**
 * Returns how many connections can be open at a time, in addition to the files that the process itself needs: at most `wanted`.
 * If the limit is unknown, it is `wanted`.
 *
 * @param others how many connections the process opens itself, beside a few.
 */
export function connectionRoom(wanted: number, others = 0): number {
  const reserved = RESERVED + others;
  const needed = wanted + reserved;
  const free = readFree() ?? countFree(Math.min(needed, MOST_TRIED)) ?? needed;
  return free >= needed ? wanted : Math.max(1, free - reserved);
}

/** Returns whether the process can open one more file or connection. */
export function canOpen(): boolean {
  try {
    closeSync(openSync(NULL_DEVICE, "r"));
    return true;
  } catch (error) {
    return !isExhausted(error);
  }
}

/** Reads the limit of open files from Linux' list of limits. Infinity means no limit, `undefined` that it isn't listed. */
export function limitIn(limits: string): number | undefined {
  const [, limit] = /^Max open files +(\d+|unlimited)/m.exec(limits) ?? [];
  if (limit === "unlimited") return Number.POSITIVE_INFINITY;
  return limit === undefined ? undefined : Number(limit);
}

/** Reads the limit of open files from Linux. Deno allows that only with --allow-all; then it is `undefined`. */
export function descriptorLimit(): number | undefined {
  try {
    return limitIn(readFileSync(LIMITS_FILE, "utf8"));
  } catch {
    return undefined;
  }
}

function readFree(): number | undefined {
  const limit = descriptorLimit();
  if (limit === undefined || limit === Number.POSITIVE_INFINITY) return limit;
  try {
    return limit - readdirSync(OPEN_FILES).length;
  } catch {
    return undefined;
  }
}

/** Opens files until that fails. Returns `undefined` if the limit is higher, or unknown. */
function countFree(atMost: number): number | undefined {
  const files: number[] = [];
  try {
    while (files.length < atMost) files.push(openSync(NULL_DEVICE, "r"));
    return undefined;
  } catch (error) {
    return isExhausted(error) ? files.length : undefined;
  } finally {
    for (const file of files) closeSync(file);
  }
}

function isExhausted(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return code === "EMFILE" || code === "ENFILE";
}
