import { readdir, readFile, stat } from "node:fs/promises";
import process from "node:process";
import type { ProcessFacts } from "../metrics/process.ts";
import { LIMITS_FILE, limitIn, OPEN_FILES } from "../runtime/descriptors.ts";
import { isCloudflare } from "../runtime/detect.ts";

/** How long a count of descriptors is reused. */
const FRESH_MS = 1000;

/** Workers know nothing of their process: some figures are 0 there, others throw. */
const NO_FACTS: ProcessFacts = {
  cpuSeconds: () => undefined,
  residentBytes: () => undefined,
  heapBytes: () => undefined,
  gcSeconds: () => undefined,
  startedSeconds: undefined,
  descriptors: async () => ({ open: undefined, most: undefined }),
};

type Descriptors = Awaited<ReturnType<ProcessFacts["descriptors"]>>;

/** Reads the figures of this process that the runtime has. */
export function processFacts(gcTime: { readonly seconds: number | undefined }): ProcessFacts {
  if (isCloudflare()) return NO_FACTS;
  let counted: { atMs: number; descriptors: Promise<Descriptors> } | undefined;
  return {
    cpuSeconds: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1e6;
    },
    residentBytes: () => process.memoryUsage().rss,
    heapBytes: () => process.memoryUsage().heapUsed,
    gcSeconds: () => gcTime.seconds,
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

/** Bun and Deno report a newer version of Node. */
const OLDEST_NODE = 22;

/** Throws if the runtime is too old to run the gateway. */
export function expectRuntime(): void {
  const problem = runtimeProblem(runtimeVersion(), process.env.npm_config_user_agent);
  if (problem !== undefined) throw new Error(problem);
}

/**
 * Says why a runtime is too old to run the gateway, and what to do.
 *
 * @param starter the program that has started it, as npm and Bun tell: Bun starts programs of packages by Node, if there is one.
 */
export function runtimeProblem(
  { runtime, version }: { readonly runtime: string; readonly version: string },
  starter = "",
): string | undefined {
  if (runtime !== "node" || Number.parseInt(version, 10) >= OLDEST_NODE) return undefined;
  const remedy = starter.startsWith("bun/")
    ? "run it by Bun with --bun (bunx --bun spillway)"
    : "install one of them and start it again";
  return `Spillway needs Node ${OLDEST_NODE} or newer, Bun or Deno, and this is Node ${version}; ${remedy}`;
}

/** Returns the runtime's name and version. */
export function runtimeVersion(): { runtime: string; version: string } {
  // Workers have no versions; a compatibility date stands for them.
  if (isCloudflare()) return { runtime: "cloudflare", version: "" };
  const { bun, deno, node } = process.versions;
  if (bun !== undefined) return { runtime: "bun", version: bun };
  if (deno !== undefined) return { runtime: "deno", version: deno };
  return { runtime: "node", version: node };
}
