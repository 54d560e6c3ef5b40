import { writeFileSync } from "node:fs";
import { preloading, ROOT, type Target } from "./runtimes.ts";

/** The program that a process loads before its own; it reads the file of {@linkcode JumpingClock}. */
const PROGRAM = `${ROOT}test/support/jumping-clock-program.ts`;

/** The wall clock of some processes, which may be ahead or behind. */
export class JumpingClock {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  /** Returns a target whose processes have this clock. */
  on(target: Target): Target {
    return { ...preloading(target, PROGRAM), env: { ...target.env, TEST_CLOCK: this.#file } };
  }

  /** Sets by how much the clock of a process is ahead. */
  jump(pid: number, byMs: number): void {
    writeFileSync(this.#file, String(byMs));
    process.kill(pid, "SIGUSR2");
  }
}
