import { formatDuration } from "./duration.ts";
import { factsOf } from "./key-facts.ts";
import { keyTable } from "./key-table.ts";
import { type Key, keys } from "./keys.ts";
import type { Resolved } from "./layer.ts";
import { formatSize } from "./size.ts";

/** A key and its final value. */
export interface Setting {
  readonly key: Key;
  /** As written in a file, without secrets; `undefined` if it is not set. */
  readonly value: string | undefined;
  /** The source of the value; `undefined` for a default. */
  readonly from: string | undefined;
}

/** Returns every key with its value, for people to read. */
export function settingsOf({ checked, origins }: Resolved): Setting[] {
  return keyTable().map(({ key, kind }) => {
    const value = checked[key];
    const { secret } = factsOf(keys[key]);
    if (value === undefined) return { key, value, from: origins.get(key) };
    const shown =
      kind === "duration"
        ? formatDuration(Number(value))
        : kind === "size"
          ? formatSize(Number(value))
          : kind === "objects"
            ? asWritten(value)
            : secret === "value"
              ? HIDDEN
              : secret === "login"
                ? [value].flat().map((url) => withoutLogin(String(url)))
                : value;
    return { key, value: JSON.stringify(shown), from: origins.get(key) };
  });
}

/** Returns objects with the names and durations of a file. */
function asWritten(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asWritten);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).map(([name, field]) => {
    const key = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    const isDuration = key.endsWith("_ms") && field !== undefined;
    return isDuration ? [key.slice(0, -3), formatDuration(Number(field))] : [key, asWritten(field)];
  });
  return Object.fromEntries(fields);
}

const HIDDEN = "***";

/** Returns a URL without user, password and query, which may hold a login (`?jwt=`). */
function withoutLogin(url: string): string {
  return url.replace(/\/\/[^/]*@/, `//${HIDDEN}@`).replace(/\?.*$/s, `?${HIDDEN}`);
}
