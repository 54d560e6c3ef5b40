import { constants } from "node:os";
import process from "node:process";

const SIGNALS = ["SIGTERM", "SIGINT"] as const;

/**
 * Ends this process on a signal until a command handles signals itself, if it is the first process of a container:
 * the kernel drops a signal to process 1 that nothing handles, so the container would be killed at the end of its grace period.
 */
export function endOnEarlySignals(): void {
  if (process.pid !== 1) return;
  for (const signal of SIGNALS) process.on(signal, end);
}

/** Leaves signals to the handlers that the caller has added. */
export function leaveEarlySignals(): void {
  for (const signal of SIGNALS) process.off(signal, end);
}

/** Ends the process with the code that shells give for a signal. */
function end(signal: (typeof SIGNALS)[number]): never {
  process.exit(128 + constants.signals[signal]);
}
