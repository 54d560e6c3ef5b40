import type { Environment } from "../config/environment.ts";
import type { Flag } from "../config/flags.ts";

/** The exit codes of all commands. */
export const EXIT = {
  /** The command did its work; the service stopped in time. */
  done: 0,
  /** The command line or the configuration is wrong, the port is not available, or the answer is no. */
  failed: 1,
  /** The stop of the service took too long, or another signal came during the stop. */
  forced: 2,
} as const;

/** The process that runs a command. */
export interface Host {
  readonly env: Environment;
  /** Whether the output is a terminal that shows colours. */
  readonly hasColors: boolean;
  /** Whether the output is a terminal. */
  readonly isTerminal: boolean;
  readTextFile(path: string): Promise<string>;
  /**
   * Reads the standard input, up to 64 KiB of it.
   *
   * @param prompt is shown if somebody types.
   * @param part `"line"`: the first line, without its end.
   */
  readInput(prompt: string, part: "line" | "all"): Promise<string>;
  /** Writes to the standard output. */
  write(text: string): void;
  /** Resolves when the output has taken what was written. */
  drained(): Promise<void>;
  /** Returns what is aborted when a signal asks the command to end, or when nobody reads its output any more. */
  interruption(): AbortSignal;
  /** Writes to the standard error. */
  writeError(text: string): void;
}

/** A command to run: its host, and the command line behind its name. */
export interface Invocation extends Host {
  readonly argv: readonly string[];
}

/** A command of `spillway`. */
export interface Command {
  /** One word or two: `"token make"`. */
  readonly name: string;
  /** A sentence for the list of commands. */
  readonly summary: string;
  /** Sentences for its own help. */
  readonly about: string;
  /** The texts that it takes besides flags, for its help: `"<subject>…"`. */
  readonly words?: string;
  readonly flags: readonly Flag[];
  /** Whether it reads the configuration, and so takes all flags of it. */
  readonly readsConfig: boolean;
  readonly examples: readonly string[];
  /**
   * Runs the command.
   *
   * @returns the exit code, see {@linkcode EXIT}.
   * @throws SpillwayError with a message for the user.
   */
  run(invocation: Invocation): Promise<number>;
}
