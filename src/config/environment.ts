import { valueFromText } from "./from-text.ts";
import { type Key, keys } from "./keys.ts";
import type { Layer } from "./layer.ts";
import { nearest } from "./nearest.ts";
import { type Problem, unknownName } from "./problem.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

const PREFIX = "SPILLWAY_";

/** The variable of the file to read, like `--config`; its value may be the content of the file, which begins with `{`. */
export const CONFIG_VARIABLE = `${PREFIX}CONFIG`;

/** Names that other programs use for the same settings; our own variables override them. */
export const ALIASES = { NATS_URL: "nats_url", PORT: "port" } as const;

/** The variable of a key: `SPILLWAY_WRITE_TIMEOUT`. */
export function variableOf(key: string): string {
  return PREFIX + key.toUpperCase();
}

/** The settings of the environment. */
export interface EnvironmentLayer extends Layer {
  /** The file to read. */
  readonly file: string | undefined;
  /** Variables that look like a misspelt alias; an error if nothing else sets the key. */
  readonly lookalikes: readonly Lookalike[];
}

/** A variable that is not read, and the alias that was probably meant. */
export interface Lookalike {
  readonly name: string;
  readonly alias: string;
  readonly key: Key;
}

/**
 * Reads the environment. An empty variable is as good as none, as compose files and charts set those
 * for "nothing"; no other variables are looked at than ours, the two aliases, and what looks like them.
 */
export function readEnvironment(env: Environment): EnvironmentLayer {
  const known = new Map<string, string>();
  for (const key of Object.keys(keys)) known.set(variableOf(key), key);

  const found = new Map<string, string>();
  for (const [alias, key] of Object.entries(ALIASES)) if (env[alias]) found.set(key, alias);
  const problems: Problem[] = [];
  const lookalikes: Lookalike[] = [];
  for (const name of Object.keys(env).sort()) {
    if (known.has(name)) {
      const value = env[name];
      if (value && !isServiceLink(name, value)) found.set(known.get(name) ?? "", name);
    } else if (name !== CONFIG_VARIABLE && isOurs(name)) {
      if (env[name] !== undefined && !isServiceLink(name, env[name])) problems.push(unknown(name));
    } else {
      lookalikes.push(...lookalikeOf(name, env));
    }
  }

  const values = [...found].map(([key, name]) => [key, valueFromText(key, env[name] ?? "")]);
  return {
    values: Object.fromEntries(values),
    origins: found,
    problems,
    file: env[CONFIG_VARIABLE] || undefined,
    lookalikes,
  };
}

/** Whether a variable is meant for us: in any case, and with a slip in the prefix where the rest is a key. */
function isOurs(name: string): boolean {
  if (name.toUpperCase().startsWith(PREFIX)) return true;
  const [prefix = ""] = name.split("_");
  const key = name.slice(prefix.length + 1).toLowerCase();
  return Object.hasOwn(keys, key) && nearest(prefix, [PREFIX.slice(0, -1)], 2) !== undefined;
}

/**
 * Whether a variable looks like a misspelt alias: `NATS_URl`, and `NATS_URLS` with an address as its
 * value. `PORT` is too short a word for more than another case.
 */
function lookalikeOf(name: string, env: Environment): Lookalike[] {
  const alias = Object.keys(ALIASES).find((one) => one === name.toUpperCase());
  const isAlias = Object.hasOwn(ALIASES, name);
  if (isAlias || !(alias || nearest(name, ["NATS_URL"], 2)) || !env[name]) return [];
  if (alias === undefined && !NATS_ADDRESS.test(env[name])) return [];
  const meant = (alias ?? "NATS_URL") as keyof typeof ALIASES;
  return [{ name, alias: meant, key: ALIASES[meant] }];
}

const NATS_ADDRESS = /^(?:nats|tls|wss?):\/\/|:\d+$/i;

/**
 * Whether Kubernetes or Docker made this variable: for a service that is called "spillway" they put
 * `SPILLWAY_PORT=tcp://10.0.0.7:8080`, `SPILLWAY_SERVICE_HOST` and more into every container
 * (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
 */
function isServiceLink(name: string, value: string): boolean {
  return (
    /_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)$/.test(
      name,
    ) ||
    (name.endsWith("_PORT") && /^(?:tcp|udp|sctp):\/\//.test(value))
  );
}

function unknown(name: string): Problem {
  const known = [...Object.keys(keys), "config"];
  const near = nearest(name.slice(name.indexOf("_") + 1), known);
  const text = unknownName("variable", name, near && variableOf(near));
  return { text, from: "the environment", key: near };
}
