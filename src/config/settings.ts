import { formatDuration } from "./duration.ts";
import { type KeyEntry, keyTable } from "./key-table.ts";
import { type Key, secrecyOf } from "./keys.ts";
import type { Resolved } from "./layer.ts";
import { formatSize } from "./size.ts";

/** A key and its final value. */
export interface Setting {
  readonly key: Key;
  /** As written in a file, without secrets; `undefined` if it is not set. */
  readonly value: string | undefined;
  /** The kind of the value's source. */
  readonly source: "default" | "file" | "environment" | "flag";
  /** The name of the source: a file, a variable, a flag; `undefined` for a default. */
  readonly from: string | undefined;
}

/** Returns every key with its value, for people to read. */
export function settingsOf(
  { checked, origins }: Resolved,
  sourceOf: (key: Key) => Setting["source"],
): Setting[] {
  return keyTable().map(({ key, kind }) => {
    const value = shownValue({ key, kind }, checked[key]);
    return { key, value, source: sourceOf(key), from: origins.get(key) };
  });
}

/** Returns a key's value as written in a file, without secrets; `undefined` if it is not set. */
export function shownValue(
  { key, kind }: Pick<KeyEntry, "key" | "kind">,
  value: unknown,
): string | undefined {
  if (value === undefined) return undefined;
  const shown =
    kind === "duration" && value !== "auto"
      ? formatDuration(Number(value))
      : kind === "size"
        ? formatSize(Number(value))
        : kind === "objects"
          ? asWritten(value)
          : withoutSecret(key, value);
  return JSON.stringify(shown);
}

/** Returns objects with the names and durations of a file. */
function asWritten(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asWritten);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).map(([name, field]) => {
    const key =
      name === "natsUrls"
        ? "nats_url"
        : name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    const isDuration = key.endsWith("_ms") && field !== undefined;
    if (isDuration) return [key.slice(0, -3), formatDuration(Number(field))];
    return [key, secrecyOf(key) === undefined ? asWritten(field) : withoutSecret(key, field)];
  });
  return Object.fromEntries(fields);
}

const HIDDEN = "***";

function withoutSecret(name: string, value: unknown): unknown {
  const secret = secrecyOf(name);
  if (value === undefined || secret === undefined) return value;
  if (secret === "value") return HIDDEN;
  return Array.isArray(value) ? value.map(withoutLogin) : withoutLogin(value);
}

/** Returns a URL without user, password and query, which may hold a login (`?jwt=`). */
function withoutLogin(url: unknown): string {
  return String(url)
    .replace(/\/\/[^/]*@/, `//${HIDDEN}@`)
    .replace(/\?.*$/s, `?${HIDDEN}`);
}
