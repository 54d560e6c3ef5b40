import { readFileSync } from "node:fs";
import { preloading, ROOT, type Target } from "./runtimes.ts";

/** The program that a process loads before its own; it writes the file of {@linkcode MemoryLog}. */
const PROGRAM = `${ROOT}test/support/memory-log-program.ts`;

/** The memory of a process after full garbage collections, in bytes. */
export interface KeptMemory {
  /** The resident memory. */
  readonly rss: number;
  /** The objects. On Bun with what they hold outside the heap. */
  readonly heapUsed: number;
  /** The memory that objects hold outside the heap. */
  readonly external: number;
}

/** A file in which a process writes its {@linkcode KeptMemory}. */
export class MemoryLog {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  /** Returns a target whose processes write this file. */
  on(target: Target): Target {
    const flags = {
      bun: [],
      deno: ["--v8-flags=--expose-gc", `--allow-write=${this.#file}`],
      node: ["--expose-gc"],
      workerd: [],
    }[target.runtime];
    return {
      ...preloading(target, PROGRAM, ...flags),
      env: { ...target.env, TEST_MEMORY: this.#file },
    };
  }

  /** Returns what was written so far, the oldest first. */
  read(): KeptMemory[] {
    const lines = readFileSync(this.#file, { encoding: "utf8", flag: "a+" }).split("\n");
    return lines.filter(Boolean).map((line) => JSON.parse(line) as KeptMemory);
  }
}
