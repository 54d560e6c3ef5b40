import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, release, totalmem } from "node:os";

/** Linux counts CPU time in these (`getconf CLK_TCK`), on all architectures. */
const TICKS_PER_SECOND = 100;

/** Returns the CPU seconds that a process and its children have used; `undefined` without `/proc`. */
export function cpuSeconds(pid: number): number | undefined {
  return sumOf([pid, ...childrenOf(pid)].map(ownCpuSeconds));
}

/** Returns the resident memory of a process and its children; `undefined` without `/proc`. */
export function rssBytes(pid: number): number | undefined {
  return sumOf([pid, ...childrenOf(pid)].map(ownRssBytes));
}

function sumOf(values: readonly (number | undefined)[]): number | undefined {
  // A child may have ended meanwhile.
  const [own, ...children] = values;
  return own && children.reduce<number>((sum, value) => sum + (value ?? 0), own);
}

/** Returns the processes that a process has started and that run. */
export function childrenOf(pid: number): number[] {
  const children = readProc(`${pid}/task/${pid}/children`) ?? "";
  return children.split(" ").filter(Boolean).map(Number);
}

function ownCpuSeconds(pid: number): number | undefined {
  const stat = readProc(`${pid}/stat`);
  // The name, in parentheses, may hold anything; the fields behind it are numbers.
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
  if (fields === undefined) return undefined;
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function ownRssBytes(pid: number): number | undefined {
  const kB = /^VmRSS:\s+(\d+) kB$/m.exec(readProc(`${pid}/status`) ?? "")?.[1];
  return kB === undefined ? undefined : Number(kB) * 1024;
}

/** The core of the gateway, or a list of cores, and the one of everything else. */
export interface Cores {
  readonly gateway: number | string;
  readonly others: number;
}

/** Pins this process, and so all that it starts, to core 1; `undefined` without `taskset` or a second core. */
export function findCores(): Cores | undefined {
  return availableParallelism() < 2 || !pin(1) ? undefined : { gateway: 0, others: 1 };
}

/** Runs `start` so that the processes that it starts stay on the gateway's core. */
export async function onGatewayCore<T>(
  cores: Cores | undefined,
  start: () => Promise<T>,
): Promise<T> {
  if (cores === undefined) return await start();
  pin(cores.gateway);
  try {
    return await start();
  } finally {
    pin(cores.others);
  }
}

/** Ten thousand connections take more files than a shell allows. If this fails, those scenarios do. */
export function allowManyFiles(): void {
  const args = ["--pid", String(process.pid), "--nofile=65536:65536"];
  spawnSync("prlimit", args, { stdio: "ignore" });
}

export type Machine = ReturnType<typeof describeMachine>;

export function describeMachine(cores: Cores | undefined) {
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 1024 ** 3),
    kernel: `${process.platform} ${release()}`,
    pinned: cores !== undefined,
  };
}

function pin(core: number | string): boolean {
  const args = ["-a", "-c", "-p", String(core), String(process.pid)];
  return spawnSync("taskset", args, { stdio: "ignore" }).status === 0;
}

function readProc(name: string): string | undefined {
  try {
    return readFileSync(`/proc/${name}`, "utf8");
  } catch {
    return undefined;
  }
}
