/**
 * `bun run bench/soak.ts --minutes 60 --seed 1 --runtime node`: the audit for long, with more faults. Prints one line of
 * JSON: the faults, the messages, and of the gateway that is never killed its memory and file descriptors, which are printed
 * also if the audit fails. Its garbage is collected each minute. Needs Linux.
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { ensureNatsServer } from "../scripts/install-nats-server.ts";
import { audit } from "../test/audit/audit.ts";
import { type KeptMemory, MemoryLog } from "../test/support/memory-log.ts";
import { TARGETS } from "../test/support/runtimes.ts";
import { spread } from "./summary.ts";

/** About 180 messages a second. */
const BATCH_PAUSE_MS = 100;
/** The gateway's memory grows at first: rings fill, code is compiled. */
const SETTLED_PART = 1 / 3;
const MIB = 2 ** 20;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "60" },
    seed: { type: "string", default: "1" },
    runtime: { type: "string", default: "node" },
  },
});
const target = TARGETS[values.runtime as "bun" | "deno" | "node"];
if (target === undefined) throw new Error(`--runtime: bun, deno or node, not ${values.runtime}`);

await ensureNatsServer();
const beganMs = performance.now();
const directory = mkdtempSync(join(tmpdir(), "spillway-soak-"));
const memoryLog = new MemoryLog(join(directory, "memory"));
const openFiles: number[] = [];
const outcome = await audit(target, {
  seed: Number(values.seed),
  durationMs: Number(values.minutes) * 60_000,
  batchPauseMs: BATCH_PAUSE_MS,
  memoryLog,
  watch: ({ pid }) => openFiles.push(readdirSync(`/proc/${pid}/fd`).length),
}).catch((error: unknown) => {
  process.exitCode = 1;
  return { failure: String(error) };
});
const memory = memoryLog.read();
rmSync(directory, { recursive: true });
const figures = {
  runtime: target.name,
  seed: Number(values.seed),
  minutes: round((performance.now() - beganMs) / 60_000),
  ...outcome,
  resident: course(({ rss }) => rss),
  kept: course(({ heapUsed, external }) => heapUsed + (target.runtime === "bun" ? 0 : external)),
  files: spread(openFiles.slice(Math.floor(openFiles.length * SETTLED_PART))),
};
process.stdout.write(`${JSON.stringify(figures)}\n`);
// An audit that has failed leaves timers of its clients.
process.exit();

/** Returns how a part of the memory went, in MiB: each minute, and by hour with its standard error once it has settled. */
function course(of: (memory: KeptMemory) => number) {
  const mib = memory.map((one) => of(one) / MIB);
  const from = Math.floor(mib.length * SETTLED_PART);
  const settled = mib.slice(from).map((value, n) => ({ hours: (from + n) / 60, mib: value }));
  const { perHour, error } = slopeOf(settled);
  return {
    median: round(spread(settled.map((one) => one.mib))?.median ?? Number.NaN),
    ...{ perHour: round(perHour), error: round(error), eachMinute: mib.map(round) },
  };
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

interface Sample {
  readonly hours: number;
  readonly mib: number;
}

/** Returns the slope of the memory by least squares, with its standard error. */
function slopeOf(of: readonly Sample[]): { readonly perHour: number; readonly error: number } {
  const mean = (values: readonly number[]) =>
    values.reduce((sum, it) => sum + it, 0) / values.length;
  const at = mean(of.map(({ hours }) => hours));
  const level = mean(of.map(({ mib }) => mib));
  const width = of.reduce((sum, { hours }) => sum + (hours - at) ** 2, 0);
  const perHour = of.reduce((sum, { hours, mib }) => sum + (hours - at) * (mib - level), 0) / width;
  const rest = of.reduce(
    (sum, { hours, mib }) => sum + (mib - level - perHour * (hours - at)) ** 2,
    0,
  );
  return { perHour, error: Math.sqrt(rest / (of.length - 2) / width) };
}
