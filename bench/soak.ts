/**
 * `bun run bench/soak.ts --minutes 60 --seed 1 --runtime node`: the audit for long, with more faults. Prints one line of
 * JSON: the faults, the messages, and of the gateway that is never killed its memory and file descriptors, which are printed
 * also if the audit fails. Needs Linux.
 */
import { readdirSync } from "node:fs";
import process from "node:process";
import { parseArgs } from "node:util";
import { ensureNatsServer } from "../scripts/install-nats-server.ts";
import { audit } from "../test/audit/audit.ts";
import { TARGETS } from "../test/support/runtimes.ts";
import { rssBytes } from "./machine.ts";
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

interface Sample {
  readonly hours: number;
  readonly mib: number;
  readonly files: number;
}

await ensureNatsServer();
const beganMs = performance.now();
const samples: Sample[] = [];
const outcome = await audit(target, {
  seed: Number(values.seed),
  durationMs: Number(values.minutes) * 60_000,
  batchPauseMs: BATCH_PAUSE_MS,
  watch({ pid }) {
    const hours = (performance.now() - beganMs) / 3_600_000;
    const files = readdirSync(`/proc/${pid}/fd`).length;
    samples.push({ hours, mib: (rssBytes(pid) ?? Number.NaN) / MIB, files });
  },
}).catch((error: unknown) => {
  process.exitCode = 1;
  return { failure: String(error) };
});
const settled = samples.slice(Math.floor(samples.length * SETTLED_PART));
const { perHour, error } = slopeOf(settled);
const round = (value: number) => Math.round(value * 10) / 10;
const figures = {
  runtime: target.name,
  seed: Number(values.seed),
  minutes: round((performance.now() - beganMs) / 60_000),
  ...outcome,
  mib: round(spread(settled.map(({ mib }) => mib))?.median ?? Number.NaN),
  mibPerHour: round(perHour),
  mibPerHourError: round(error),
  mibEachMinute: samples.filter((_, n) => n % 12 === 0).map(({ mib }) => Math.round(mib)),
  files: spread(settled.map(({ files }) => files)),
};
process.stdout.write(`${JSON.stringify(figures)}\n`);

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
