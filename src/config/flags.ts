import { nearest } from "../core/nearest.ts";
import { variableOf } from "./environment.ts";
import { valueFromText } from "./from-text.ts";
import { type Key, keys } from "./keys.ts";
import type { Layer } from "./layer.ts";
import { type Problem, quoted, unknownName } from "./problem.ts";

/** One flag of the command line. */
export interface Flag {
  readonly name: string;
  /** What the value is called in `--help`; without it, the flag takes none. */
  readonly value?: string;
  /** The key that it sets. */
  readonly key?: Key;
  /** Whether it may be given several times, for a list. Otherwise the last one counts. */
  readonly repeats?: boolean;
  readonly about: string;
}

export const FLAGS: readonly Flag[] = [
  { name: "--config", value: "file", about: "Reads a JSON file: our keys, or StreamKit's." },
  { name: "--port", value: "port", key: "port", about: "Sets port." },
  { name: "--host", value: "host", key: "host", about: "Sets host." },
  { name: "--path", value: "path", key: "path", about: "Sets path." },
  {
    name: "--subject",
    value: "subject",
    key: "subjects",
    repeats: true,
    about: "Sets subjects; give it once for each.",
  },
  {
    name: "--nats",
    value: "url",
    key: "nats_url",
    repeats: true,
    about: "Sets nats_url; give it once for each, or part them by commas.",
  },
  { name: "--log-level", value: "level", key: "log_level", about: "Sets log_level." },
  { name: "--help", about: "Prints this and ends; so does -h." },
  { name: "--version", about: "Prints the version and ends." },
];

/** What a command line asks for. */
export type Command =
  | { readonly kind: "run"; readonly file: string | undefined; readonly layer: Layer }
  | { readonly kind: "help" | "version" };

/** Reads a command line without the names of the runtime and the script: `["--port", "9000"]`. */
export function readFlags(argv: readonly string[]): Command {
  const values: Record<string, unknown> = {};
  const origins = new Map<string, string>();
  const problems: Problem[] = [];
  let file: string | undefined;

  for (const { name, text } of argumentsOf(argv)) {
    const flag = FLAGS.find((candidate) => candidate.name === name);
    if (flag !== undefined && flag.value === undefined && text === undefined) {
      return { kind: name === "--version" ? "version" : "help" };
    }
    const fault = faultOf(name, flag, text);
    if (fault !== undefined) {
      problems.push({ text: fault, from: "the command line" });
    } else if (flag?.key === undefined) {
      file = text;
    } else if (flag.repeats) {
      const before = (values[flag.key] as unknown[] | undefined) ?? [];
      values[flag.key] = [...before, text];
      origins.set(flag.key, name);
    } else {
      values[flag.key] = valueFromText(flag.key, text ?? "");
      origins.set(flag.key, name);
    }
  }
  return { kind: "run", file, layer: { values, origins, problems } };
}

/** Parts `--port=9000` and `--port 9000` alike into a name and a text. */
function* argumentsOf(argv: readonly string[]): Generator<{ name: string; text?: string }> {
  for (let index = 0; index < argv.length; index++) {
    const given = argv[index] ?? "";
    const [, assigned, text] = given.match(/^(-[^=]*)=(.*)$/s) ?? [];
    const name = assigned ?? (given === "-h" ? "--help" : given);
    const next = argv[index + 1];
    const isBare = FLAGS.some((flag) => flag.name === name && flag.value === undefined);
    if (text !== undefined) {
      yield { name, text };
    } else if (isBare || !name.startsWith("-") || next === undefined || /^-[-A-Za-z]/.test(next)) {
      // What looks like the next flag is no value; a value that begins so is given after "=".
      yield { name };
    } else {
      yield { name, text: next };
      index++;
    }
  }
}

function faultOf(name: string, flag: Flag | undefined, text?: string): string | undefined {
  if (flag === undefined) return unknownFlag(name);
  if (flag.value === undefined) return `${quoted(name)} takes no value`;
  return text ? undefined : `${quoted(name)} needs a value`;
}

function unknownFlag(name: string): string {
  const word = name.replace(/^-+/, "");
  const near = nearest(
    word,
    FLAGS.map((flag) => flag.name.slice(2)),
  );
  const text = unknownName("flag", name, near && `--${near}`);
  const key = word.replaceAll("-", "_");
  if (near !== undefined || !Object.hasOwn(keys, key)) return text;
  return `${text}; set ${variableOf(key)}, or ${quoted(key)} in a file`;
}
