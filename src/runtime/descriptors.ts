import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";

/** Descriptors for all but clients: connections to NATS, name lookups, files that are read again. */
const RESERVED = 16;
/** Opening more files than this to find the limit would make the start slow. */
const MOST_TRIED = 16_384;
const NULL_DEVICE = "/dev/null";

/**
 * How many connections can be open at a time beside what the process needs for itself, at most as many as
 * are wanted. It is all of them where the limit can't be found.
 */
export function connectionRoom(wanted: number): number {
  const needed = wanted + RESERVED;
  const free = readFree() ?? countFree(Math.min(needed, MOST_TRIED)) ?? needed;
  return free >= needed ? wanted : Math.max(1, free - RESERVED);
}

/** Whether the process can open one more file or connection. */
export function canOpen(): boolean {
  try {
    closeSync(openSync(NULL_DEVICE, "r"));
    return true;
  } catch (error) {
    return !isExhausted(error);
  }
}

/** Linux says the limit, but Deno only to who may read everything. */
function readFree(): number | undefined {
  try {
    const limits = readFileSync("/proc/self/limits", "utf8");
    const [, limit] = /^Max open files +(\d+|unlimited)/m.exec(limits) ?? [];
    if (limit === "unlimited") return Number.POSITIVE_INFINITY;
    return limit === undefined ? undefined : Number(limit) - readdirSync("/proc/self/fd").length;
  } catch {
    return undefined;
  }
}

/** Opens files until that fails. @returns `undefined` when the limit is further away, or unknown. */
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
