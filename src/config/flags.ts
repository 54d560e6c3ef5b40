import { parseArgs } from "node:util";
import { valueFromText } from "./from-text.ts";
import { type KeyEntry, keyTable } from "./key-table.ts";
import type { Key } from "./keys.ts";
import type { Layer } from "./layer.ts";
import { nearest } from "./nearest.ts";
import { type Problem, quoted, unknownName } from "./problem.ts";

/** One flag of the command line. */
export interface Flag {
  readonly name: string;
  /** The name of the value in `--help`; `undefined` if the flag takes none. */
  readonly value?: string;
  /** The key that it sets. */
  readonly key?: Key;
  /** Whether each value is one element of a list, commas included. */
  readonly isElement?: boolean;
  readonly about: string;
}

/** The flags of the configuration that belong to no key, and the short ones. */
export const SHORT_FLAGS: readonly Flag[] = [
  {
    name: "--config",
    value: "file",
    about: "Reads a file, JSON or JSONC, with the keys below or StreamKit's.",
  },
  {
    name: "--subject",
    value: "subject",
    key: "subjects",
    isElement: true,
    about: "Adds a subject to carry.",
  },
  { name: "--nats", value: "url", key: "nats_url", about: "Sets nats_url." },
];

const PLACEHOLDERS: Readonly<Record<KeyEntry["kind"], string>> = {
  text: "text",
  integer: "number",
  size: "size",
  duration: "duration",
  boolean: "true|false",
  choice: "word",
  list: "a,b,…",
  objects: "json",
};

/** The flag of a key: `--write-timeout <duration>`. */
export function flagOf({ key, kind }: Pick<KeyEntry, "key" | "kind">): Flag {
  const name = `--${key.replaceAll("_", "-")}`;
  return { name, value: PLACEHOLDERS[kind], key, about: `Sets ${key}.` };
}

/** A command line that was read. */
export interface GivenFlags {
  /** The keys of the configuration. */
  readonly layer: Layer;
  /** The texts of each given flag that sets no key; `"true"` for a flag without a value. */
  readonly texts: ReadonlyMap<string, readonly string[]>;
  /** The texts that belong to no flag. */
  readonly words: readonly string[];
}

/** Returns all flags that set the configuration. */
export function configFlags(): Flag[] {
  return [...SHORT_FLAGS, ...keyTable().map(flagOf)];
}

/**
 * Reads a command line without the names of the runtime, the script and the command: `["--port", "9000"]`.
 *
 * @param known the flags that may be given; others are problems of the layer.
 * @param mostWords the number of texts that may belong to no flag; more are problems of the layer.
 */
export function readFlags(
  argv: readonly string[],
  known: readonly Flag[],
  mostWords = 0,
): GivenFlags {
  const flags = new Map(known.map((flag) => [flag.name, flag]));
  const values: Record<string, unknown> = {};
  const origins = new Map<string, string>();
  const problems: Problem[] = [];
  const texts = new Map<string, string[]>();
  const words: string[] = [];

  for (const { name, text } of argumentsOf(argv, flags)) {
    const flag = flags.get(name);
    if (!name.startsWith("-") && words.length < mostWords) {
      words.push(name);
      continue;
    }
    const fault = faultOf(name, flag, text, flags);
    if (fault !== undefined) {
      problems.push({ ...fault, from: "the command line" });
    } else if (flag?.key !== undefined) {
      values[flag.key] = joined(flag.key, flag, text ?? "", values[flag.key]);
      origins.set(flag.key, name);
    } else {
      texts.set(name, [...(texts.get(name) ?? []), text ?? "true"]);
    }
  }
  return { layer: { values, origins, problems }, texts, words };
}

/** A repeated flag adds to a list, and otherwise replaces the earlier value. */
function joined(key: Key, flag: Flag, text: string, before: unknown): unknown {
  const value = flag.isElement ? [text] : valueFromText(key, text);
  return Array.isArray(value) && Array.isArray(before) ? [...before, ...value] : value;
}

interface Argument {
  readonly name: string;
  readonly text?: string | undefined;
}

/** Splits a command line into flags and their texts: `--port=9000`, `--port 9000`, `--compression`, `--no-compression`. */
function* argumentsOf(
  argv: readonly string[],
  flags: ReadonlyMap<string, Flag>,
): Generator<Argument> {
  // Cloudflare Workers have no parser, and no command line.
  if (argv.length === 0) return;
  const options = optionsOf(flags);
  const { tokens } = parseArgs({ args: [...argv], options, strict: false, tokens: true });
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at]!;
    if (token.kind === "positional") {
      yield { name: token.value };
      continue;
    }
    const { name, value, isInline } = optionOf(token, argv);
    const flag = flags.get(name);
    // The parser takes "-xyz" for three flags.
    while (tokens[at + 1]?.index === token.index) at++;
    const next = tokens[at + 1];
    const text = next?.kind === "positional" ? next.value : undefined;
    if (value !== undefined && !isInline && LOOKS_LIKE_FLAG.test(value)) {
      // A value that begins like a flag must be given after "=".
      yield { name };
      yield* argumentsOf(argv.slice(token.index + 1), flags);
      return;
    }
    if (value !== undefined) {
      yield { name, text: value };
    } else if (isSwitch(flag)) {
      const isGiven = text === "true" || text === "false";
      yield { name, text: isGiven ? text : "true" };
      if (isGiven) at++;
    } else if (flag === undefined && isSwitch(flags.get(name.replace(/^--no-/, "--")))) {
      yield { name: name.replace(/^--no-/, "--"), text: "false" };
    } else {
      yield { name };
      // The text after an unknown flag is its value, and not a second mistake.
      if (flag === undefined && text !== undefined) at++;
    }
  }
}

type Token = NonNullable<ReturnType<typeof parseArgs>["tokens"]>[number];

/** Returns the flag of a token. "-h" is the only one with a single dash, and means "--help". */
function optionOf(
  token: Exclude<Token, { kind: "positional" }>,
  argv: readonly string[],
): { name: string; value: string | undefined; isInline: boolean } {
  if (token.kind === "option-terminator") return { name: "--", value: undefined, isInline: false };
  const { rawName, value, inlineValue: isInline = false } = token;
  if (rawName.startsWith("--")) return { name: rawName, value, isInline };
  const [name = ""] = (argv[token.index] ?? "").split("=");
  return { name: name === "-h" ? "--help" : name, value: undefined, isInline };
}

const LOOKS_LIKE_FLAG = /^-[-A-Za-z]/;

/** Declares the flags for `parseArgs`, which needs to know which of them take a value. */
function optionsOf(
  flags: ReadonlyMap<string, Flag>,
): Record<string, { type: "string" | "boolean" }> {
  const options = [...flags.values()].map((flag) => {
    const takesValue = flag.value !== undefined && !isSwitch(flag);
    return [flag.name.slice(2), { type: takesValue ? "string" : "boolean" }] as const;
  });
  return Object.fromEntries(options);
}

function isSwitch(flag: Flag | undefined): boolean {
  return flag?.value === PLACEHOLDERS.boolean;
}

/** Describes a text in the place of a flag, and suggests the flag for a file or a URL. */
function strayText(text: string): string {
  // A URL may hold a password.
  const word = text.replace(/:\/\/.*@/s, "://***@");
  const stray = `${quoted(word)} is not a flag`;
  if (word.includes("://")) return `${stray}; did you mean ${quoted(`--nats ${word}`)}?`;
  if (/\.jsonc?$/i.test(word)) return `${stray}; did you mean ${quoted(`--config ${word}`)}?`;
  return `${stray}, which begins with "--"`;
}

function faultOf(
  name: string,
  flag: Flag | undefined,
  text: string | undefined,
  flags: ReadonlyMap<string, Flag>,
): Problem | undefined {
  if (flag === undefined && !name.startsWith("-")) return { text: strayText(name) };
  if (flag === undefined) {
    const switches = [...flags.values()].filter(isSwitch).map((one) => `--no-${one.name.slice(2)}`);
    const known = [...flags.keys(), ...switches].map((one) => one.slice(2));
    const near = nearest(name.replace(/^-+/, ""), known);
    const key = flags.get(`--${near?.replace(/^no-/, "")}`)?.key;
    if (switches.includes(name)) return { text: `${quoted(name)} takes no value`, key };
    return { text: unknownName("flag", name, near && `--${near}`), key };
  }
  if (flag.value === undefined) {
    return text === undefined ? undefined : { text: `${quoted(name)} takes no value` };
  }
  return text ? undefined : { text: `${quoted(name)} needs a value`, key: flag.key };
}
