import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, release, totalmem } from "node:os";

/** Linux counts CPU time in these (`getconf CLK_TCK`), on all architectures. */
const TICKS_PER_SECOND = 100;

/** CPU time of the whole machine since it started, in seconds summed over all cores. */
export interface MachineTime {
  /** In processes; the kernel's work for no process, interrupts that is, is not in it. */
  readonly busy: number;
  /** Taken by the hypervisor for other machines. */
  readonly stolen: number;
  readonly total: number;
}

/** CPU seconds that a process has used, all its threads together; `undefined` where none can be had. */
export function cpuSeconds(pid: number): number | undefined {
  const stat = readProc(`${pid}/stat`);
  // The name, in parentheses, may hold anything; behind it the fields are numbers.
  const fields = stat?.slice(stat.lastIndexOf(")") + 2).split(" ");
  if (fields === undefined) return undefined;
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** What a process has in memory (its resident set); `undefined` where that can't be had. */
export function rssBytes(pid: number): number | undefined {
  const kB = /^VmRSS:\s+(\d+) kB$/m.exec(readProc(`${pid}/status`) ?? "")?.[1];
  return kB === undefined ? undefined : Number(kB) * 1024;
}

/** `undefined` where there is no `/proc/stat`. */
export function machineTime(): MachineTime | undefined {
  const line = readProc("stat")?.split("\n", 1)[0];
  if (line === undefined) return undefined;
  const ticks = line.trim().split(/\s+/).slice(1, 9).map(Number);
  const [user = 0, nice = 0, system = 0, , , , , steal = 0] = ticks;
  return {
    busy: (user + nice + system) / TICKS_PER_SECOND,
    stolen: steal / TICKS_PER_SECOND,
    total: ticks.reduce((sum, value) => sum + value, 0) / TICKS_PER_SECOND,
  };
}

/** Which cores are used for what; `undefined` where processes can't be pinned to cores. */
export interface Cores {
  /** What is measured runs here, and nothing else. */
  readonly gateway: number;
  /** Everything else. */
  readonly others: number;
}

/** Cores 0 and 1, where `taskset` can pin this process; everything it starts stays where it was put. */
export function findCores(): Cores | undefined {
  if (availableParallelism() < 2 || !pin(1)) return undefined;
  return { gateway: 0, others: 1 };
}

/** What is started during the call runs on that core, whatever it starts in turn. */
export async function onCore<T>(
  cores: Cores | undefined,
  core: keyof Cores,
  start: () => Promise<T>,
): Promise<T> {
  if (cores === undefined || core === "others") return await start();
  pin(cores[core]);
  try {
    return await start();
  } finally {
    pin(cores.others);
  }
}

/** Ten thousand connections take more files than a shell allows; where this fails, those scenarios do. */
export function allowManyFiles(): void {
  const args = ["--pid", String(process.pid), "--nofile=65536:65536"];
  spawnSync("prlimit", args, { stdio: "ignore" });
}

function pin(core: number): boolean {
  const args = ["-a", "-c", "-p", String(core), String(process.pid)];
  return spawnSync("taskset", args, { stdio: "ignore" }).status === 0;
}

/** What the figures were measured on. */
export function describeMachine(cores: Cores | undefined) {
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 1024 ** 3),
    kernel: `${process.platform} ${release()}`,
    pinned: cores !== undefined,
  };
}

function readProc(name: string): string | undefined {
  try {
    return readFileSync(`/proc/${name}`, "utf8");
  } catch {
    return undefined;
  }
}
