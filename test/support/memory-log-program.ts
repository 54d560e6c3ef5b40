/**
 * Loaded before a program: each minute, it collects the garbage of the process, and then writes a line with what is left to the
 * file that `TEST_MEMORY` names.
 */
import { openSync, writeSync } from "node:fs";
import process from "node:process";

const EVERY_MS = 60_000;
/** The later ones free what the finalizers of the earlier ones let go. */
const COLLECTIONS = 3;

const file = openSync(process.env.TEST_MEMORY!, "a");
const runtimes = globalThis as { gc?: () => void; Bun?: { gc(isSync: boolean): void } };
const collect = (): void => {
  if (runtimes.Bun === undefined) runtimes.gc!();
  else runtimes.Bun.gc(true);
};

const timer = setInterval(() => {
  for (let n = 0; n < COLLECTIONS; n++) collect();
  try {
    writeSync(file, `${JSON.stringify(process.memoryUsage())}\n`);
  } catch {
    // A process that may open no file can't tell its resident memory.
  }
}, EVERY_MS);
timer.unref();
