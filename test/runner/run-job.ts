import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { Job } from "./jobs.ts";
import { type Report, readReport } from "./report.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Longer than the deadlines of several waits, which say more about what is missing. */
const TEST_TIMEOUT_MS = 180_000;
/** A process that prints nothing for longer hangs: no single test may take as long. */
const SILENCE_MS = 360_000;
/** How long a process may take to end its own processes before it is killed. */
const END_MS = 5_000;

const running = new Set<ChildProcess>();

/** Ends all jobs that run, with everything that they started. */
export function endJobs(): void {
  for (const child of running) signal(child, "SIGKILL");
}

/** Runs a job, and hands on each line that it prints. */
export async function runJob(job: Job, print: (line: string) => void): Promise<Report> {
  const child = spawn(
    process.execPath,
    [
      "test",
      "--no-orphans",
      `--timeout=${TEST_TIMEOUT_MS}`,
      "--preload=./test/support/leave-nothing.ts",
      ...job.args,
      ...job.files.map((file) => (file.startsWith("./") ? file : `./${file}`)),
    ],
    {
      cwd: ROOT,
      env: { ...process.env, ...job.env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    },
  );
  running.add(child);
  const lines: string[] = [];
  let ended: string | undefined;
  const giveUp = (): void => {
    ended = `printed nothing for ${SILENCE_MS / 60_000} minutes`;
    signal(child, "SIGTERM");
    setTimeout(() => signal(child, "SIGKILL"), END_MS).unref();
  };
  let silence = setTimeout(giveUp, SILENCE_MS);
  const read = (from: Readable): void => {
    createInterface({ input: from }).on("line", (line) => {
      clearTimeout(silence);
      silence = setTimeout(giveUp, SILENCE_MS);
      if (line.startsWith("bun test v")) return;
      lines.push(line);
      print(line);
    });
  };
  const exited = new Promise<number | string>((resolve) => {
    const end = (code: number | null, by: NodeJS.Signals | null): void =>
      resolve(code ?? `was ended by ${by}`);
    child.once("error", (error) => resolve(error.message));
    child.once("close", end);
    // Something that it started may still hold its output.
    child.once("exit", (code, by) => setTimeout(end, END_MS, code, by).unref());
  });
  for (const output of [child.stdout, child.stderr]) if (output !== null) read(output);
  const code = await exited;
  clearTimeout(silence);
  running.delete(child);
  return readReport(lines, ended ?? code);
}

/** A job is a process group of its own. */
function signal(child: ChildProcess, name: NodeJS.Signals): void {
  try {
    process.kill(-child.pid!, name);
  } catch {
    // It has ended.
  }
}
