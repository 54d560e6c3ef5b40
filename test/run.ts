/**
 * `npm test` runs all tests but the slow ones, `npm test -- <files> <options>` those that `bun test` would run,
 * `npm run test:slow` the slow ones, and `npm run test:install` those of installs. It first installs what they need:
 * `nats-server`, a browser, a `dist/` of these sources.
 *
 * Several processes run side by side, as tests mostly wait; the files that measure run alone at the end.
 * A process that fails is shown in full, and its errors again at the end. The last line is
 * `N passed, N failed`; the exit code is 1 if a test failed or none ran.
 */
import { availableParallelism } from "node:os";
import { build } from "../scripts/build.js";
import { ensureChromium } from "../scripts/install-chromium.ts";
import { ensureNatsServer, ensureOldestNatsServer } from "../scripts/install-nats-server.ts";
import { allJobs, installJobs, type Job, jobsFor } from "./runner/jobs.ts";
import type { Failure, Report } from "./runner/report.ts";
import { endJobs, runJob } from "./runner/run-job.ts";

/** Tests wait more than they compute. */
const PROCESSES_PER_CORE = 3;
const MOST_PROCESSES = 8;
const LONGEST_ERROR = 60;

const args = process.argv.slice(2);
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    endJobs();
    process.exit(1);
  });
}
await ensureNatsServer();
ensureOldestNatsServer();
await ensureChromium();
build();
const reports = await runAll(jobsOf(args));
const failures = reports.flatMap(({ failures }) => failures);
if (failures.length > 0) say(`\nFailures:\n${failures.map(showFailure).join("\n")}\n`);
const sum = (of: "passed" | "failed") => reports.reduce((total, report) => total + report[of], 0);
say(`${sum("passed")} passed, ${sum("failed")} failed`);
process.exitCode = sum("failed") === 0 && sum("passed") > 0 ? 0 : 1;
// What a job that was ended left open doesn't keep this process.
setTimeout(() => process.exit(), 5_000).unref();

function jobsOf(args: readonly string[]): Job[] {
  if (args.length === 0) return allJobs(false);
  if (args.length === 1 && args[0] === "--slow") return allJobs(true);
  if (args.length === 1 && args[0] === "--install") return installJobs();
  // An option that takes a value is written `-t name`, or `--option=value`.
  const isOption = (arg: string, index: number) => arg.startsWith("-") || args[index - 1] === "-t";
  return jobsFor(
    args.filter((arg, index) => !isOption(arg, index)),
    args.filter(isOption),
  );
}

async function runAll(jobs: readonly Job[]): Promise<Report[]> {
  const reports: Report[] = [];
  const run = async (job: Job): Promise<void> => {
    const startMs = performance.now();
    const lines: string[] = [];
    const isOnly = jobs.length === 1;
    const report = await runJob(job, isOnly ? say : (line) => lines.push(line));
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    if (report.failed > 0 && !isOnly) say(`\n${job.name} failed:\n${lines.join("\n")}`);
    say(`${job.name}: ${report.passed} passed, ${report.failed} failed, ${seconds} s`);
    reports.push({ ...report, failures: report.failures.map((one) => inJob(job, one)) });
  };
  const waiting = jobs.filter(({ alone }) => !alone);
  const worker = async (): Promise<void> => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) await run(job);
  };
  const processes = Math.min(MOST_PROCESSES, PROCESSES_PER_CORE * availableParallelism());
  await Promise.all(Array.from({ length: processes }, worker));
  for (const job of jobs) if (job.alone) await run(job);
  return reports;
}

function inJob(job: Job, { name, text }: Failure): Failure {
  return { name: `${job.name}: ${name}`, text };
}

/** The end of a long error says more than its beginning, which is the test's own source. */
function showFailure({ name, text }: Failure): string {
  return `\n${name}\n${text.split("\n").slice(-LONGEST_ERROR).join("\n")}`;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
