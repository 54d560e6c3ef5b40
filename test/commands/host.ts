import { runCommand } from "../../src/commands/run.ts";

export interface Run {
  readonly env?: Readonly<Record<string, string>>;
  /** By path: texts, and values that are written as JSON. */
  readonly files?: Readonly<Record<string, unknown>>;
  readonly input?: string;
  /** Whether the output is a terminal with colours. */
  readonly hasColors?: boolean;
  readonly interruption?: AbortSignal;
  /** Called when a command waits until its output has taken what it wrote. */
  wrote?(): Promise<void>;
  /** Called with each text for the standard error. */
  saidError?(text: string): void;
}

/** Runs a command on a host without a process, and returns what it wrote and its exit code. */
export async function run(
  argv: readonly string[],
  {
    env = {},
    files = {},
    input = "",
    hasColors = false,
    interruption = new AbortController().signal,
    wrote = async () => {},
    saidError = () => {},
  }: Run = {},
): Promise<{ code: number; output: string; error: string }> {
  let output = "";
  let error = "";
  const code = await runCommand(argv, {
    ...{ env, hasColors, isTerminal: hasColors },
    async readTextFile(path) {
      if (!Object.hasOwn(files, path)) throw new Error("no such file");
      const content = files[path];
      return typeof content === "string" ? content : JSON.stringify(content);
    },
    readInput: async (_, part) => (part === "line" ? (input.split("\n")[0] ?? "") : input),
    drained: wrote,
    interruption: () => interruption,
    write: (text) => {
      output += text;
    },
    writeError: (text) => {
      error += text;
      saidError(text);
    },
  });
  return { code, output, error };
}
