import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import type { ConfigFile } from "../config/load.ts";
import { reasonOf, SpillwayError } from "../core/ports/errors.ts";
import type { Assignment, SupervisorMessage, WorkerMessage } from "./messages.ts";
import type { WorkerHost } from "./worker-count.ts";
import type { SpawnWorker, WorkerEnd } from "./worker-process.ts";

/** The variable that makes a process a worker. */
export const WORKER_VARIABLE = "SPILLWAY_WORKER";

/** The value of the variable, as JSON. */
interface Inheritance {
  readonly assignment: Assignment;
  /** The process id of the supervisor. */
  readonly supervisor: number;
}

/** The variable by which `node:cluster` knows its children: in a process that has it, Bun's `node:http` shares its ports. */
const BUN_SHARES_PORTS = { NODE_UNIQUE_ID: "1" };

/** Returns what starts workers: this program, with the command line of this process. */
export function workerSpawner(runtime: string): SpawnWorker {
  const args = ownArguments(runtime);
  return (assignment, listener) => {
    const child = spawn(process.execPath, args, {
      env: {
        ...process.env,
        [WORKER_VARIABLE]: JSON.stringify({ assignment, supervisor: process.pid }),
        ...(runtime === "bun" && BUN_SHARES_PORTS),
      },
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    let hasEnded = false;
    const ended = (end: WorkerEnd): void => {
      if (hasEnded) return;
      hasEnded = true;
      listener.ended(end);
    };
    child.on("message", (message) => listener.said(message as WorkerMessage));
    child.on("exit", (code, signal) => ended({ code, signal }));
    child.on("error", (error) => {
      // If the process runs, it is one of its messages that could not be sent.
      if (child.pid === undefined) ended({ code: null, signal: null, reason: reasonOf(error) });
    });
    return {
      pid: child.pid,
      send: (message) => send(child, message),
      kill: (signal) => void child.kill(signal),
    };
  };
}

function send(child: ChildProcess, message: SupervisorMessage): void {
  if (child.connected) child.send(message, () => {});
}

/** The time between two checks of a worker whether its supervisor is there. */
const LOOK_MS = 1_000;

/** The end of a worker that its supervisor asks for, and the messages between them. */
export interface SupervisorChannel {
  readonly assignment: Assignment;
  send(message: WorkerMessage): void;
  /**
   * Asks for the file of the configuration that is in effect; `undefined`: there is none. Called before {@linkcode open}.
   *
   * @throws SpillwayError `"WORKER_FAILED"` (fatal) if the supervisor is gone.
   */
  file(): Promise<ConfigFile | undefined>;
  /** @param take is called with each message. @param lost is called if the supervisor is gone. */
  open(take: (message: SupervisorMessage) => void, lost: () => void): Promise<void>;
}

/** Returns the channel to the supervisor that has started this process; `undefined` if none has. */
export function supervisorChannel(variable: string | undefined): SupervisorChannel | undefined {
  if (variable === undefined || process.send === undefined) return undefined;
  const { assignment, supervisor } = JSON.parse(variable) as Inheritance;
  return {
    assignment,
    send(message) {
      if (process.connected) process.send?.(message, undefined, undefined, () => {});
    },
    async file() {
      const { promise, resolve, reject } = Promise.withResolvers<ConfigFile | undefined>();
      const take = (message: unknown): void => {
        const told = message as SupervisorMessage;
        if (told.type === "file") resolve(told.file);
      };
      const lost = (): void =>
        reject(new SpillwayError("WORKER_FAILED", "Cannot start a worker: its supervisor is gone"));
      process.on("message", take);
      const unwatch = watchSupervisor(supervisor, lost);
      this.send({ type: "file" });
      try {
        return await promise;
      } finally {
        process.off("message", take);
        unwatch();
      }
    },
    async open(take, lost) {
      process.on("message", (message) => take(message as SupervisorMessage));
      // Without this, Bun ends a child of `node:cluster` at once when its parent is gone.
      if ("Bun" in globalThis) {
        const { worker } = (await import("node:cluster")).default;
        if (worker !== undefined) worker.exitedAfterDisconnect = true;
      }
      watchSupervisor(supervisor, lost);
    },
  };
}

/**
 * Calls once when the supervisor is gone. If the supervisor is killed before it has read everything that it was sent, Deno 2.9 doesn't
 * report that, so this process also checks the process id of its parent.
 *
 * @returns a function that ends the watch.
 */
function watchSupervisor(pid: number, lost: () => void): () => void {
  const end = (): void => {
    clearInterval(timer);
    process.off("disconnect", gone);
  };
  const gone = (): void => {
    end();
    lost();
  };
  const look = (): void => {
    if (!process.connected || process.ppid !== pid) gone();
  };
  const timer = setInterval(look, LOOK_MS);
  timer.unref();
  process.on("disconnect", gone);
  look();
  return end;
}

/** Deno's namespace, as far as it is used here. */
interface DenoNamespace {
  readonly build: { readonly standalone?: boolean };
  readonly permissions: {
    querySync(descriptor: { name: "run"; command: string }): { readonly state: string };
  };
}

/** Returns whether and how this process can start workers. */
export function workerHost(runtime: Pick<WorkerHost, "runtime" | "version">): WorkerHost {
  const { Deno } = globalThis as { Deno?: DenoNamespace };
  const { platform } = process;
  if (Deno === undefined) return { ...runtime, platform, maySpawn: true, hasUnstableNet: true };
  const descriptor = { name: "run", command: process.execPath } as const;
  const maySpawn = Deno.permissions.querySync(descriptor).state === "granted";
  // This function is there only with --unstable-net.
  return { ...runtime, platform, maySpawn, hasUnstableNet: "listenDatagram" in Deno };
}

/** Returns the arguments that this process was started with, those of the runtime included. */
function ownArguments(runtime: string): string[] {
  if (runtime === "node") return [...process.execArgv, ...process.argv.slice(1)];
  const { Deno } = globalThis as { Deno?: DenoNamespace };
  if (Deno?.build.standalone) return process.argv.slice(2);
  // Bun and Deno don't tell which flags are theirs, and Linux does.
  return readCommandLine().split("\0").slice(1, -1);
}

/** Deno reads below /proc only with --allow-all, which its `eval` has. */
function readCommandLine(): string {
  try {
    return readFileSync("/proc/self/cmdline", "utf8");
  } catch {
    const code = `await Deno.stdout.write(await Deno.readFile("/proc/${process.pid}/cmdline"))`;
    return execFileSync(process.execPath, ["eval", code], { encoding: "utf8" });
  }
}
