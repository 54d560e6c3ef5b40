import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";

/** Descriptors for all but clients: connections to NATS, name lookups, files that are read again. */
const RESERVED = 16;
/** Opening more files than this to find the limit would make the start slow. */
const MOST_TRIED = 16_384;
const NULL_DEVICE = "/dev/null";
/** Where Linux lists the limits of this process, and its open files. */
export const LIMITS_FILE = "/proc/self/limits";
export const OPEN_FILES = "/proc/self/fd";

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

/** The limit of open files in Linux' list of limits: infinite if there is none; `undefined`: it is not there. */
export function limitIn(limits: string): number | undefined {
  const [, limit] = /^Max open files +(\d+|unlimited)/m.exec(limits) ?? [];
  if (limit === "unlimited") return Number.POSITIVE_INFINITY;
  return limit === undefined ? undefined : Number(limit);
}

/** Linux says the limit, but Deno lets only a process with --allow-all read it. */
function readFree(): number | undefined {
  try {
    const limit = limitIn(readFileSync(LIMITS_FILE, "utf8"));
    if (limit === undefined || limit === Number.POSITIVE_INFINITY) return limit;
    return limit - readdirSync(OPEN_FILES).length;
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
