import type { CheckedKeys } from "./cross-key-rules.ts";
import { streamInputs } from "./stream-inputs.ts";

type CamelCase<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : S;

type FieldName<K extends string> = K extends "nats_url"
  ? "natsUrls"
  : K extends `${string}_${"timeout" | "interval" | "age" | "tolerance" | "linger" | "backoff" | "ttl" | "grace" | "lag" | "delay" | "window"}`
    ? `${CamelCase<K>}Ms`
    : CamelCase<K>;

/**
 * The whole configuration as the code uses it: every key of `keys.ts`, in camelCase, and durations
 * in milliseconds (`write_timeout: "5s"` in a file is `writeTimeoutMs: 5000` here).
 */
export type Config = {
  [K in keyof CheckedKeys as K extends "accounts" ? never : FieldName<K>]: CheckedKeys[K];
} & {
  readonly accounts: readonly AccountConfig[];
  /** The `subjects` that StreamKit's input ports mark as required; there is no key for this. */
  readonly requiredSubjects: readonly string[];
};

type Account = CheckedKeys["accounts"][number];

/** An account, with the same names of its fields as in the configuration. */
export type AccountConfig = { [K in keyof Account as FieldName<K>]: Account[K] };

/** The login of a connection to NATS, and what it needs for TLS. */
export type NatsLogin = Omit<AccountConfig, "name" | "natsUrls">;

/** Returns the name of a file's key in {@linkcode Config}. */
export function fieldName(key: string): string {
  if (key === "nats_url") return "natsUrls";
  const camelCase = key.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  return /_(?:timeout|interval|age|tolerance|linger|backoff|ttl|grace|lag|delay|window)$/.test(key)
    ? `${camelCase}Ms`
    : camelCase;
}

/** Renames checked keys to the code's names. */
export function toConfig(checked: CheckedKeys, required: readonly string[]): Config {
  const accounts = checked.accounts.map(renamed);
  const streams = streamInputs(checked.streams).flatMap(({ subjects }) => subjects);
  const carried = [...checked.subjects, ...streams];
  const requiredSubjects = carried.filter((subject) => required.includes(subject));
  const config: object = { ...renamed(checked), accounts, requiredSubjects };
  return config as Config;
}

function renamed(keys: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(keys).map(([key, value]) => [fieldName(key), value]));
}
