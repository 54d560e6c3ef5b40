import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { Config } from "../config/config.ts";
import type { Problem } from "../config/problem.ts";

/** Linux' file with the limit of CPU time of the control group, version 2: microseconds, and of how many; or "max". */
const CPU_FILE = "/sys/fs/cgroup/cpu.max";

/** The oldest versions of Node whose `listen` has `reusePort`: https://nodejs.org/api/net.html#serverlistenoptions-callback */
const OLDEST_NODE = { major: 22, minor: 12 };

/** The process that would start workers. */
export interface WorkerHost {
  /** `"bun"`, `"deno"` or `"node"`. */
  readonly runtime: string;
  readonly version: string;
  /** As `process.platform`. */
  readonly platform: string;
  /** Whether this process may start its own program. */
  readonly maySpawn: boolean;
  /** Whether Deno's own sockets may share a port. */
  readonly hasUnstableNet: boolean;
}

/** Returns the number of processes that serve clients. */
export function workerCount({ workers }: Pick<Config, "workers">, platform: string): number {
  if (workers !== "auto") return workers;
  return platform === "linux" ? processors() : 1;
}

/** Returns why this process can't have as many workers as the configuration says. */
export function workerProblems(
  config: Pick<Config, "workers" | "sockets">,
  host: WorkerHost,
): Problem[] {
  const { workers, sockets } = config;
  const { runtime, platform } = host;
  if (workers === 1 || (workers === "auto" && platform !== "linux")) return [];
  const rule = ruleOf(host, sockets);
  if (rule === undefined) return [];
  return [
    { key: "workers", text: `"workers" is ${JSON.stringify(workers)} but must be 1 ${rule}` },
  ];

  function ruleOf({ maySpawn, version, hasUnstableNet }: WorkerHost, choice: string) {
    if (platform !== "linux") {
      return `on ${platform}: only Linux shares out the connections of a port among processes`;
    }
    if (runtime === "node" && isOlder(version)) {
      const { major, minor } = OLDEST_NODE;
      return `on Node ${version}, whose processes can't share a port: use ${major}.${minor} or newer`;
    }
    if (!maySpawn)
      return "as Deno may not start programs: run it with --allow-run; an executable by Deno can't";
    if (runtime === "deno" && choice === "native" && !hasUnstableNet) {
      return 'with "sockets": "native" on Deno, unless it runs with --unstable-net';
    }
    return undefined;
  }
}

/** Returns how many processors this process may use. */
function processors(): number {
  return Math.max(1, Math.min(availableParallelism(), cpuLimit() ?? Number.POSITIVE_INFINITY));
}

/** Returns `undefined` if there is no limit, or if the file is missing or not readable. */
function cpuLimit(): number | undefined {
  try {
    const [quota, period] = readFileSync(CPU_FILE, "utf8").split(" ").map(Number);
    const limit = Math.floor((quota ?? Number.NaN) / (period ?? Number.NaN));
    return Number.isNaN(limit) ? undefined : limit;
  } catch {
    return undefined;
  }
}

function isOlder(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const { major: most, minor: least } = OLDEST_NODE;
  return major < most || (major === most && minor < least) || (major === 23 && minor < 1);
}
