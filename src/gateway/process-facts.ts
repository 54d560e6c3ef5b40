import { readdir, readFile, stat } from "node:fs/promises";
import process from "node:process";
import type { ProcessFacts } from "../metrics/process.ts";
import { LIMITS_FILE, limitIn, OPEN_FILES } from "../runtime/descriptors.ts";

/** How long a count of descriptors is reused. */
const FRESH_MS = 1000;

type Descriptors = Awaited<ReturnType<ProcessFacts["descriptors"]>>;

/** Reads the figures of this process that the runtime has. */
export function processFacts(): ProcessFacts {
  let counted: { atMs: number; descriptors: Promise<Descriptors> } | undefined;
  return {
    cpuSeconds: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    },
    residentBytes: () => process.memoryUsage().rss,
    heapBytes: () => process.memoryUsage().heapUsed,
    startedSeconds: (performance.timeOrigin || Date.now() - process.uptime() * 1000) / 1000,
    descriptors: () => {
      const nowMs = performance.now();
      if (counted === undefined || nowMs - counted.atMs >= FRESH_MS) {
        counted = { atMs: nowMs, descriptors: countDescriptors() };
      }
      return counted.descriptors;
    },
  };
}

async function countDescriptors(): Promise<Descriptors> {
  const [open, limits] = await Promise.all([
    countOpen().catch(() => undefined),
    readFile(LIMITS_FILE, "utf8").catch(() => ""),
  ]);
  const most = limitIn(limits);
  return { open, most: most === Number.POSITIVE_INFINITY ? undefined : most };
}

/** Since Linux 6.2, the folder's size is their number. Before, it is 0, and the folder is listed. */
async function countOpen(): Promise<number> {
  const { size } = await stat(OPEN_FILES);
  return size > 0 ? size : (await readdir(OPEN_FILES)).length;
}

/** Returns the runtime's name and version. */
export function runtimeVersion(): { runtime: string; version: string } {
  const { bun, deno, node } = process.versions;
  if (bun !== undefined) return { runtime: "bun", version: bun };
  if (deno !== undefined) return { runtime: "deno", version: deno };
  return { runtime: "node", version: node };
}
