import type { CheckedKeys } from "./cross-key-rules.ts";
import { streamInputs } from "./stream-inputs.ts";

type CamelCase<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : S;

type FieldName<K extends string> = K extends "nats_url"
  ? "natsUrls"
  : K extends `${string}_${"timeout" | "interval" | "age" | "tolerance" | "linger" | "backoff" | "ttl"}`
    ? `${CamelCase<K>}Ms`
    : CamelCase<K>;

/**
 * The whole configuration as the code uses it: every key of `keys.ts`, in camelCase, and durations
 * in milliseconds (`write_timeout: "5s"` in a file is `writeTimeoutMs: 5000` here).
 */
export type Config = { [K in keyof CheckedKeys as FieldName<K>]: CheckedKeys[K] } & {
  /** The `subjects` that StreamKit's input ports mark as required; there is no key for this. */
  readonly requiredSubjects: readonly string[];
};

/** Returns the name of a file's key in {@linkcode Config}. */
export function fieldName(key: string): string {
  if (key === "nats_url") return "natsUrls";
  const camelCase = key.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  return /_(?:timeout|interval|age|tolerance|linger|backoff|ttl)$/.test(key)
    ? `${camelCase}Ms`
    : camelCase;
}

/** Renames checked keys to the code's names. */
export function toConfig(checked: CheckedKeys, required: readonly string[]): Config {
  const fields = Object.entries(checked).map(([key, value]) => [fieldName(key), value]);
  const streams = streamInputs(checked.streams).flatMap(({ subjects }) => subjects);
  const carried = [...checked.subjects, ...streams];
  const requiredSubjects = carried.filter((subject) => required.includes(subject));
  return { ...Object.fromEntries(fields), requiredSubjects } as Config;
}
