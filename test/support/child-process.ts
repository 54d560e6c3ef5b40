import { type ChildProcess, spawn } from "node:child_process";
import { rm } from "node:fs/promises";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { DEADLINE_MS, DeadlineError, EventLog, within } from "./event-log.ts";

/** The end of a process: its exit code, or the signal that ended it. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** One line of a process's output. */
export interface OutputLine {
  readonly stream: "stdout" | "stderr";
  readonly text: string;
}

/** A process that a test started, with all it says. */
export interface RunningProcess {
  readonly pid: number;
  readonly lines: EventLog<OutputLine>;
  /** Settles when the process has ended and all its output was read. */
  readonly exited: Promise<Exit>;
  signal(signal: NodeJS.Signals): void;
  /** SIGTERM, and SIGKILL when that did not help in time. May be called twice. */
  stop(deadlineMs?: number): Promise<Exit>;
}

/** How long the pipes of a process that has ended may take to end, too. */
const SILENT_END_MS = 5000;

const running = new Map<(signal: NodeJS.Signals) => void, Promise<Exit>>();

/** Whether there is a process with this number, whoever has started it. */
export function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Ends all processes that a test forgot. */
export async function endForgottenProcesses(): Promise<void> {
  for (const kill of running.keys()) kill("SIGKILL");
  await Promise.all(running.values());
}

export interface ProcessOptions {
  readonly cwd?: string;
  /** The whole environment of the process. Default: that of this one. */
  readonly env?: Readonly<Record<string, string>>;
  /** Whether signals go to all that the process starts as well, as those of a terminal do. Default: no. */
  readonly group?: boolean;
  /** A temporary folder of the process, which is removed when it has ended. */
  readonly directory?: string;
}

/**
 * Starts a process whose output is kept line by line. A test that forgets it leaves it to
 * {@linkcode endForgottenProcesses}.
 */
export async function startProcess(
  name: string,
  command: readonly string[],
  options: ProcessOptions = {},
): Promise<RunningProcess> {
  const [file, ...args] = command;
  if (file === undefined) throw new TypeError("startProcess: the command is empty");
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: options.env === undefined ? process.env : { ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: options.group ?? false,
  });
  const kill = (signal: NodeJS.Signals): void => {
    if (options.group && child.exitCode === null && child.signalCode === null)
      process.kill(-child.pid!, signal);
    else child.kill(signal);
  };
  const lines = new EventLog<OutputLine>(name, ({ stream, text }) => `${stream}: ${text}`);
  const exited = watch(child, lines, options.directory);
  const { promise: spawned, resolve, reject } = Promise.withResolvers<void>();
  child.once("spawn", resolve);
  child.once("error", (error) => reject(new Error(`cannot start ${name}: ${error.message}`)));
  await spawned;

  running.set(kill, exited);
  void exited.then(() => running.delete(kill));

  return {
    pid: child.pid!,
    lines,
    exited,
    signal(signal) {
      kill(signal);
    },
    async stop(deadlineMs = DEADLINE_MS) {
      kill("SIGTERM");
      try {
        return await within(exited, `end of ${name} after SIGTERM`, deadlineMs);
      } catch (error) {
        if (!(error instanceof DeadlineError)) throw error;
        kill("SIGKILL");
        return await exited;
      }
    },
  };
}

async function watch(
  child: ChildProcess,
  lines: EventLog<OutputLine>,
  directory: string | undefined,
): Promise<Exit> {
  const { promise: closed, resolve } = Promise.withResolvers<Exit>();
  child.once("close", (code, signal) => resolve({ code, signal }));
  // Bun now and then never says that a pipe has ended, though the process has. Nothing more comes then.
  child.once("exit", (code, signal) => {
    const timer = setTimeout(() => {
      for (const pipe of [child.stdout, child.stderr]) pipe?.destroy();
      resolve({ code, signal });
    }, SILENT_END_MS);
    void closed.then(() => clearTimeout(timer));
  });
  const read = (stream: "stdout" | "stderr", from: Readable): Promise<void> =>
    new Promise((ended) => {
      createInterface({ input: from })
        .on("line", (text) => lines.add({ stream, text }))
        .once("close", ended);
      from.once("close", ended);
    });
  const reading = [read("stdout", child.stdout!), read("stderr", child.stderr!)];
  const exit = await closed;
  await Promise.all(reading);
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
  lines.end(`ended with ${exit.signal ?? `code ${exit.code}`}`);
  return exit;
}
