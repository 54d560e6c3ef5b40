import { parseDuration } from "../config/duration.ts";
import { type Flag, type GivenFlags, readFlags } from "../config/flags.ts";
import { SpillwayError } from "../core/ports/errors.ts";

/** The texts of given flags, by the flag's name. */
export type FlagTexts = GivenFlags["texts"];

/** The flags that every command takes. `runCommand` answers them. */
export const GENERAL_FLAGS: readonly Flag[] = [
  { name: "--help", about: "Prints this help and exits, as -h does." },
  { name: "--version", about: "Prints the version and exits." },
];

/** The command line of a command that reads no configuration. */
type OwnFlags = Pick<GivenFlags, "texts" | "words">;

/**
 * Reads the flags of a command that reads no configuration.
 *
 * @param mostWords the number of texts that it takes besides flags. Default: 0.
 * @throws SpillwayError `"COMMAND_INVALID"` (invalid)
 */
export function readOwnFlags(
  argv: readonly string[],
  flags: readonly Flag[],
  mostWords?: number,
): OwnFlags {
  const { layer, texts, words } = readFlags(argv, [...flags, ...GENERAL_FLAGS], mostWords);
  const [problem] = layer.problems;
  if (problem !== undefined) throw invalidCommand(`Cannot use the command line: ${problem.text}`);
  return { texts, words };
}

/** Returns the last text of a flag. */
export function lastOf(texts: FlagTexts, name: string): string | undefined {
  return texts.get(name)?.at(-1);
}

/**
 * Reads a flag that is a duration of more than 0.
 *
 * @returns milliseconds.
 * @throws SpillwayError `"COMMAND_INVALID"` (invalid)
 */
export function readDuration(texts: FlagTexts, name: string, preset: string): number {
  const text = lastOf(texts, name) ?? preset;
  const ms = parseDuration(text) ?? 0;
  if (ms > 0) return ms;
  throw invalidCommand(
    `"${name}" is "${text}" but must be a duration above 0, like "500ms" or "2s"`,
  );
}

/**
 * Reads a flag that is a whole number.
 *
 * @throws SpillwayError `"COMMAND_INVALID"` (invalid)
 */
export function readWhole(
  texts: FlagTexts,
  name: string,
  preset: number,
  [least, most]: readonly [number, number],
): number {
  const text = lastOf(texts, name) ?? String(preset);
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= least && value <= most) return value;
  throw invalidCommand(`"${name}" is "${text}" but must be an integer from ${least} to ${most}`);
}

/**
 * Reads a flag that is one of some words.
 *
 * @throws SpillwayError `"COMMAND_INVALID"` (invalid)
 */
export function readChoice<Word extends string>(
  texts: FlagTexts,
  name: string,
  words: readonly [Word, ...Word[]],
): Word {
  const text = lastOf(texts, name) ?? words[0];
  const word = words.find((one) => one === text);
  if (word !== undefined) return word;
  const list = words.map((one) => `"${one}"`).join(" or ");
  throw invalidCommand(`"${name}" is "${text}" but must be ${list}`);
}

/** Makes the error for a command line that can't be used. */
export function invalidCommand(message: string): SpillwayError {
  return new SpillwayError("COMMAND_INVALID", message);
}
