import { reasonOf } from "../core/errors.ts";
import type { Config } from "./config.ts";
import { type Environment, readEnvironment } from "./environment.ts";
import { readFlags } from "./flags.ts";
import { fileLayer } from "./flow.ts";
import { parseJson } from "./json-text.ts";
import { brokenLayer, type Layer, settle } from "./layer.ts";

/** Where a configuration may come from; nothing of it is taken from the runtime itself. */
export interface ConfigSources {
  /** The command line, without the names of the runtime and the script. */
  readonly argv: readonly string[];
  /** The environment. Only `SPILLWAY_…`, `NATS_URL` and `PORT` are read. */
  readonly env: Environment;
  /** Reads a file; called at most once, for `--config` or `SPILLWAY_CONFIG`. */
  readTextFile(path: string): Promise<string>;
}

/** What the command was asked to do. */
export type Loaded =
  | { readonly kind: "run"; readonly config: Config }
  | { readonly kind: "help" }
  | { readonly kind: "version" };

/**
 * Reads the whole configuration: flags beat the environment, which beats the file, which beats the
 * defaults. A file's `ports` are turned into plain keys first, so that they can be overridden.
 *
 * @throws {SpillwayError} `CONFIG_INVALID` (invalid), one line that names the first thing that is
 * wrong, its value, its rule, where it came from, and how many more there are.
 */
export async function loadConfig(sources: ConfigSources): Promise<Loaded> {
  const command = readFlags(sources.argv);
  if (command.kind !== "run") return command;
  const environment = readEnvironment(sources.env);
  const path = command.file ?? environment.file;
  const file = path === undefined ? [] : [await readFile(path, sources)];
  return { kind: "run", config: settle([...file, environment, command.layer]) };
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
