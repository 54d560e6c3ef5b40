import { expect } from "bun:test";
import { startProcess } from "./child-process.ts";
import { DEADLINE_MS, within } from "./event-log.ts";
import { ROOT, TARGETS } from "./runtimes.ts";

/** Where a host may use the library. */
export const RUNTIMES = ["bun", "deno", "node22", "node"] as const;

/** Longer than what a script itself waits for, so that it can say what did not come. */
const PROGRAM_DEADLINE_MS = DEADLINE_MS + 10_000;

/** Deno says so on stderr, once, where somebody asks whether a request's connection was reset. */
const NOTICE = "Deno.serve: request.signal aborts on successful responses";

/**
 * Runs a script on a runtime, with the permissions that the command has, and returns the facts that
 * it told. It must end by itself: what keeps it alive was left open.
 */
export async function runProgram(
  name: (typeof RUNTIMES)[number],
  script: string,
  environment: Record<string, string> = {},
): Promise<unknown[]> {
  const command = TARGETS[name].command().map((word) => (word === "src/server.ts" ? script : word));
  const env = { PATH: process.env.PATH ?? "", ...environment };
  const program = await startProcess(name, command, { cwd: ROOT, env });
  const ending = () => `end of ${script}, which told ${JSON.stringify(program.lines.entries)},`;
  const exit = await within(program.exited, ending, PROGRAM_DEADLINE_MS);
  const told = program.lines.entries
    .filter(({ text }) => !text.startsWith(NOTICE))
    .map(({ stream, text }) => {
      if (stream === "stderr") return text;
      const { name, fact } = JSON.parse(text);
      return [name, fact];
    });
  expect({ exit, told }).toEqual({ exit: { code: 0, signal: null }, told });
  return told;
}
