import { type Config, fieldName } from "./config.ts";
import { keyTable } from "./key-table.ts";
import type { Key } from "./keys.ts";
import { shownValue } from "./settings.ts";

/** A key that has another value than before. */
export interface ConfigChange {
  readonly key: Key;
  /** As written in a file, without secrets; `undefined` if it was not set. */
  readonly before: string | undefined;
  /** The same of the new value. A secret that has changed looks as before. */
  readonly after: string | undefined;
  /** Whether a reload can make it. */
  readonly reloads: boolean;
}

/** Returns the keys that differ, in the order of the table of keys. */
export function changesBetween(before: Config, after: Config): ConfigChange[] {
  return keyTable().flatMap((entry) => {
    const [old, now] = [before, after].map((config) => settingOf(config, entry.key));
    if (JSON.stringify(old) === JSON.stringify(now)) return [];
    const { key, reloads } = entry;
    return { key, before: shownValue(entry, old), after: shownValue(entry, now), reloads };
  });
}

/** Returns the configuration that is in effect, as written in a file, without secrets. Keys that are not set are left out. */
export function shownConfig(config: Config): Record<string, unknown> {
  const values = keyTable().flatMap((entry) => {
    const shown = shownValue(entry, settingOf(config, entry.key));
    return shown === undefined ? [] : [[entry.key, JSON.parse(shown) as unknown] as const];
  });
  return Object.fromEntries(values);
}

function settingOf(config: Config, key: Key): unknown {
  return config[fieldName(key) as keyof Config];
}
