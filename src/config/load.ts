import { reasonOf } from "../core/ports/errors.ts";
import { AUTHENTICATORS } from "./access-keys.ts";
import { type Config, toConfig } from "./config.ts";
import { isSet, NEED_NATS } from "./cross-key-rules.ts";
import { type Environment, type Lookalike, readEnvironment } from "./environment.ts";
import { readFlags } from "./flags.ts";
import { fileLayer } from "./flow-file.ts";
import { parseJson } from "./json-text.ts";
import { brokenLayer, type Layer, type Resolved, resolve } from "./layer.ts";
import { configError, type Problem, shown, unknownName } from "./problem.ts";
import { type Setting, settingsOf } from "./settings.ts";

/** The sources of a configuration, passed in so that nothing is read from the runtime here. */
export interface ConfigSources {
  /** The command line, without the names of the runtime and the script. */
  readonly argv: readonly string[];
  /** The environment. Only `SPILLWAY_…`, `NATS_URL` and `PORT` are read, and what looks like them. */
  readonly env: Environment;
  /** Reads a file; called at most once, for `--config` or `SPILLWAY_CONFIG`. */
  readTextFile(path: string): Promise<string>;
  /** Checks the files that a configuration names. @param config its wrong keys have their defaults. */
  checkFiles?(config: Config): Promise<readonly Problem[]>;
}

/** A valid configuration. */
export interface LoadedConfig {
  readonly config: Config;
  /** Each key with the source of its value. */
  readonly settings: readonly Setting[];
  /** Warnings, a sentence each: a setting that is valid, but probably not meant. */
  readonly notices: readonly string[];
}

/** What the command is asked to do. */
export type Loaded =
  | ({ readonly kind: "run" | "check" } & LoadedConfig)
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  | { readonly kind: "hash-password" };

/**
 * Reads the whole configuration: flags beat the environment, which beats the file, which beats the
 * defaults. A file's `ports` are turned into plain keys first, so that they can be overridden.
 *
 * @throws {SpillwayError} `CONFIG_INVALID` (invalid): everything that is wrong, a line each, with its
 * key, its value, its rule, and where it came from.
 */
export async function loadConfig(sources: ConfigSources): Promise<Loaded> {
  const command = readFlags(sources.argv);
  if (!("layer" in command)) return command;
  const environment = readEnvironment(sources.env);
  const path = command.file ?? environment.file;
  const file = path === undefined ? [] : [await readFile(path, sources)];
  const layers = [...file, environment, command.layer];
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
  return { kind: command.kind, config, settings: settingsOf(resolved), notices };
}

async function readFile(path: string, sources: ConfigSources): Promise<Layer> {
  let text: string;
  try {
    text = await sources.readTextFile(path);
  } catch (cause) {
    return brokenLayer({
      text: `it can't be read: ${reasonOf(cause)}`,
      from: path,
      cause,
    });
  }
  const json = parseJson(text);
  if ("fault" in json) return brokenLayer({ text: json.fault, from: path });
  return fileLayer(json.value, path);
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
  return NEED_NATS.filter((key) => isSet(checked[key]) && isKnown(key, "nats_url")).map((key) => {
    const text = `"${key}" is ${shown(checked[key])} but needs NATS: set "nats_url"`;
    return { text, from: origins.get(key), key };
  });
}

/** Only the library can be given a hook that takes tokens. */
function withoutAuthenticator({ checked, origins, isKnown }: Resolved): Problem[] {
  if (AUTHENTICATORS.some((key) => isSet(checked[key])) || !isKnown(...AUTHENTICATORS)) return [];
  return (["token_cookie", "allow_query_token"] as const)
    .filter((key) => (checked[key] ?? false) !== false && isKnown(key))
    .map((key) => {
      const text = `"${key}" is ${shown(checked[key])} but nothing reads tokens: set "tokens_file", "issuers" or "authorizer_subject"`;
      return { text, from: origins.get(key), key };
    });
}

function noticesOf(
  { checked, origins }: Resolved,
  unsaid: readonly Lookalike[],
  path: string | undefined,
): string[] {
  const notices = unsaid.map(({ name, alias }) => unknownName("variable", name, alias));
  const namesSubjects = origins.get("subjects")?.startsWith("ports.inputs") ?? false;
  if (checked.nats_url.length === 0 && namesSubjects) {
    const subjects = checked.subjects.join(", ");
    notices.push(
      `${path} names NATS subjects (${subjects}), but no setting gives the address of NATS, so messages come from an in-memory source: set NATS_URL, --nats or "nats_url"`,
    );
  }
  return notices;
}
