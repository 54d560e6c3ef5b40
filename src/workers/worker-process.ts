import type { Assignment, SupervisorMessage, WorkerMessage } from "./messages.ts";

/** The end of a process: its exit code, or the signal that ended it, or why it could not be started. */
export interface WorkerEnd {
  readonly code: number | null;
  readonly signal: string | null;
  readonly reason?: string;
}

/** Is told what happens to a worker. */
export interface WorkerListener {
  said(message: WorkerMessage): void;
  /** Called once. */
  ended(end: WorkerEnd): void;
}

/** A process that serves clients. */
export interface WorkerProcess {
  readonly pid: number | undefined;
  /** Does nothing if the process can't hear it. */
  send(message: SupervisorMessage): void;
  kill(signal: NodeJS.Signals): void;
}

/** Starts a worker. */
export type SpawnWorker = (assignment: Assignment, listener: WorkerListener) => WorkerProcess;

/** Says how a process ended, for people. */
export function describeEnd({ code, signal, reason }: WorkerEnd): string {
  if (reason !== undefined) return reason;
  return signal === null ? `exit code ${code}` : `signal ${signal}`;
}
