import { nearest } from "../core/nearest.ts";
import { valueFromText } from "./from-text.ts";
import { keys } from "./keys.ts";
import type { Layer } from "./layer.ts";
import { type Problem, unknownName } from "./problem.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

const PREFIX = "SPILLWAY_";

/** The file to read, as `--config` says it too. */
export const CONFIG_VARIABLE = `${PREFIX}CONFIG`;

/** Names that others have given to the same things; our own names beat them. */
export const ALIASES = { NATS_URL: "nats_url", PORT: "port" } as const;

/** The variable of a key: `SPILLWAY_WRITE_TIMEOUT`. */
export function variableOf(key: string): string {
  return PREFIX + key.toUpperCase();
}

/**
 * What the environment says. An empty variable is as good as none, as compose files and charts
 * set those for "nothing"; no other variables are looked at than ours and the two aliases.
 */
export function readEnvironment(env: Environment): Layer & { readonly file: string | undefined } {
  const known = new Map<string, string>();
  for (const key of Object.keys(keys)) known.set(variableOf(key), key);

  const found = new Map<string, string>();
  for (const [alias, key] of Object.entries(ALIASES)) if (env[alias]) found.set(key, alias);
  const problems: Problem[] = [];
  const ours = Object.keys(env).filter((name) => name.startsWith(PREFIX));
  for (const name of ours.sort()) {
    const key = known.get(name);
    if (env[name] === undefined || name === CONFIG_VARIABLE || isServiceLink(name, env[name])) {
      continue;
    }
    if (key === undefined) problems.push({ text: unknown(name), from: "the environment" });
    else if (env[name] !== "") found.set(key, name);
  }

  const values = [...found].map(([key, name]) => [key, valueFromText(key, env[name] ?? "")]);
  return {
    values: Object.fromEntries(values),
    origins: found,
    problems,
    file: env[CONFIG_VARIABLE] || undefined,
  };
}

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

function unknown(name: string): string {
  const near = nearest(name.slice(PREFIX.length), [...Object.keys(keys), "config"]);
  return unknownName("variable", name, near && variableOf(near));
}
