import { reasonOf } from "../core/ports/errors.ts";
import { AUTHENTICATORS } from "./access-keys.ts";
import { type Config, toConfig } from "./config.ts";
import { isSet, NEED_NATS } from "./cross-key-rules.ts";
import {
  CONFIG_VARIABLE,
  type Environment,
  type Lookalike,
  readEnvironment,
} from "./environment.ts";
import { configFlags, type Flag, type GivenFlags, readFlags } from "./flags.ts";
import { fileLayer } from "./flow-file.ts";
import { parseJson } from "./json-text.ts";
import type { Key } from "./keys.ts";
import { brokenLayer, type Layer, type Resolved, resolve } from "./layer.ts";
import { configError, type Problem, shown, unknownName } from "./problem.ts";
import { type Setting, settingsOf } from "./settings.ts";

/** The sources of a configuration, passed in so that nothing is read from the runtime here. */
export interface ConfigSources {
  /** The command line, without the names of the runtime, the script and the command. */
  readonly argv: readonly string[];
  /** The flags that the command takes besides those of the configuration. Default: none. */
  readonly flags?: readonly Flag[];
  /** The environment. Only `SPILLWAY_…`, `NATS_URL` and `PORT` are read, and what looks like them. */
  readonly env: Environment;
  /** Reads a file; called at most once, for `--config` or `SPILLWAY_CONFIG`. */
  readTextFile(path: string): Promise<string>;
  /** Checks the files that a configuration names. @param config its wrong keys have their defaults. */
  checkFiles?(config: Config): Promise<readonly Problem[]>;
}

/** A file with a configuration. */
export interface ConfigFile {
  readonly path: string;
  readonly text: string;
}

/** A valid configuration. */
export interface LoadedConfig {
  readonly config: Config;
  /** Each key with the source of its value. */
  readonly settings: readonly Setting[];
  /** Warnings, a sentence each: a setting that is valid, but probably not meant. */
  readonly notices: readonly string[];
  /** The texts of each given flag of the command itself. */
  readonly texts: GivenFlags["texts"];
  /** The file that was read, with its contents; `undefined` if there is none. */
  readonly file: ConfigFile | undefined;
}

/**
 * Reads the whole configuration: flags beat the environment, which beats the file, which beats the
 * defaults. A file's `ports` are turned into plain keys first, so that they can be overridden.
 *
 * @throws {SpillwayError} `CONFIG_INVALID` (invalid): everything that is wrong, a line each, with its
 * key, its value, its rule, and where it came from.
 */
export async function loadConfig(sources: ConfigSources): Promise<LoadedConfig> {
  const { layer, texts } = readFlags(sources.argv, [...configFlags(), ...(sources.flags ?? [])]);
  const environment = readEnvironment(sources.env);
  const path = texts.get("--config")?.at(-1) ?? environment.file;
  const read = await readFile(path, sources);
  const file = read === undefined ? [] : [read.layer];
  const layers = [...file, environment, layer];
  const unsaid = environment.lookalikes.filter(
    ({ key }) => !layers.some(({ values }) => Object.hasOwn(values, key)),
  );
  const resolved = resolve([...layers, misspeltLayer(unsaid)]);
  const config = toConfig(resolved.checked, resolved.requiredSubjects);
  const files = (await sources.checkFiles?.(config)) ?? [];
  const problems = [
    ...resolved.problems,
    ...withoutNats(resolved),
    ...withoutAuthenticator(resolved),
    ...files.map((problem) => ({ from: resolved.origins.get(problem.key ?? ""), ...problem })),
  ];
  if (problems.length > 0) throw configError(problems);
  const notices = noticesOf(resolved, unsaid, path);
  const sourceOf = (key: Key): Setting["source"] => {
    const has = ({ values }: Layer) => Object.hasOwn(values, key);
    if (has(layer)) return "flag";
    if (has(environment)) return "environment";
    return file.some(has) ? "file" : "default";
  };
  return { config, settings: settingsOf(resolved, sourceOf), notices, texts, file: read?.file };
}

async function readFile(
  path: string | undefined,
  sources: ConfigSources,
): Promise<{ readonly file?: ConfigFile; readonly layer: Layer } | undefined> {
  if (path === undefined) return undefined;
  // On hosts without files, the variable has the content of one.
  if (isContent(path)) return { layer: layerOf(path, CONFIG_VARIABLE) };
  let text: string;
  try {
    text = await sources.readTextFile(path);
  } catch (cause) {
    const text = `it can't be read: ${reasonOf(cause)}`;
    return { layer: brokenLayer({ text, from: path, cause }) };
  }
  return { file: { path, text }, layer: layerOf(text, path) };
}

/** Whether what should be a path is the content of a file. */
function isContent(path: string | undefined): boolean {
  return path?.trimStart().startsWith("{") === true;
}

/** @param from the place of the text, for people. */
function layerOf(text: string, from: string): Layer {
  const json = parseJson(text);
  if ("fault" in json) return brokenLayer({ text: json.fault, from });
  return fileLayer(json.value, from);
}

/**
 * A variable of somebody else may look like ours, so it is wrong only where nothing says the key; and
 * to listen on another port than somebody may have meant is no reason not to start.
 */
function misspeltLayer(lookalikes: readonly Lookalike[]): Layer {
  const problems = lookalikes
    .filter(({ key }) => key === "nats_url")
    .map(({ name, alias, key }): Problem => {
      return { text: unknownName("variable", name, alias), from: "the environment", key };
    });
  return { values: {}, origins: new Map(), problems };
}

/** Only the library can be given a connection to NATS. */
function withoutNats({ checked, origins, isKnown }: Resolved): Problem[] {
  if (checked.nats_url.length > 0) return [];
  // Streams may be those of accounts alone.
  const lacking = NEED_NATS.filter((key) => key !== "streams" || !isSet(checked.accounts));
  const known = lacking.filter(
    (key) => isSet(checked[key]) && isKnown(key, "nats_url", "accounts"),
  );
  return known.map((key) => {
    const text = `"${key}" is ${shown(checked[key])} but needs NATS: set "nats_url"`;
    return { text, from: origins.get(key), key };
  });
}

const REVOCATION = ["revocation_bucket", "revocation_subject"] as const;

/** Only the library can be given a hook that takes tokens. */
function withoutAuthenticator({ checked, origins, isKnown }: Resolved): Problem[] {
  if (AUTHENTICATORS.some((key) => isSet(checked[key])) || !isKnown(...AUTHENTICATORS)) return [];
  const remedy = 'set "tokens_file", "issuers" or "authorizer_subject"';
  const problem = (
    key: "token_cookie" | "allow_query_token" | "accounts" | (typeof REVOCATION)[number],
    rule: string,
  ): Problem => {
    const text = `"${key}" is ${shown(checked[key])} but ${rule}: ${remedy}`;
    return { text, from: origins.get(key), key };
  };
  const unread = (["token_cookie", "allow_query_token"] as const)
    .filter((key) => (checked[key] ?? false) !== false && isKnown(key))
    .map((key) => problem(key, "nothing reads tokens"));
  const unrevoked = REVOCATION.filter((key) => checked[key] !== undefined && isKnown(key));
  unread.push(...unrevoked.map((key) => problem(key, "there are no tokens to revoke")));
  const isUnused = isSet(checked.accounts) && checked.anonymous === undefined;
  return isUnused && isKnown("accounts", "anonymous")
    ? [...unread, problem("accounts", "nothing says which client is of which account")]
    : unread;
}

function noticesOf(
  { checked, origins }: Resolved,
  unsaid: readonly Lookalike[],
  path: string | undefined,
): string[] {
  const notices = unsaid.map(({ name, alias }) => unknownName("variable", name, alias));
  const namesSubjects = origins.get("subjects")?.startsWith("ports.inputs") ?? false;
  const hasNats = isSet(checked.nats_url) || isSet(checked.accounts);
  if (!hasNats && namesSubjects) {
    const subjects = checked.subjects.join(", ");
    notices.push(
      `${isContent(path) ? CONFIG_VARIABLE : path} names NATS subjects (${subjects}), but no setting gives the address of NATS, so messages come from an in-memory source: set NATS_URL, --nats or "nats_url"`,
    );
  }
  return notices;
}
