import { z } from "zod";
import { factsOf, type KeyFacts } from "./key-facts.ts";
import { type Key, keys } from "./keys.ts";
import { RELOADABLE_KEYS } from "./reloadable-keys.ts";
import { formatSize } from "./size.ts";
import { type ValueFacts, valueFacts } from "./value-schemas.ts";

/** All facts about one key, read from its schema. */
export interface KeyEntry extends KeyFacts, Omit<ValueFacts, "refused"> {
  readonly key: Key;
  /** As written in a file; `undefined` if the key has none. */
  readonly default: unknown;
  /** Whether a reload can change it; otherwise the gateway must be restarted. */
  readonly reloads: boolean;
}

/** Returns all keys in their order. */
export function keyTable(): KeyEntry[] {
  return Object.entries(keys).map(([key, schema]) => {
    const value = valueFacts(schema.unwrap());
    if (value === undefined) throw new TypeError(`"${key}" has a schema without facts`);
    const { kind, limits } = value;
    const preset = schema instanceof z.ZodPrefault ? schema.def.defaultValue : undefined;
    const reloads = RELOADABLE_KEYS.has(key as Key);
    return { key: key as Key, ...factsOf(schema), kind, limits, default: preset, reloads };
  });
}

/** Returns a key's default as written in a file (`"5s"`, `"64KiB"`), or `undefined` if it has none. */
export function shownDefault({ kind, default: preset }: KeyEntry): string | undefined {
  return JSON.stringify(
    kind === "size" && preset !== undefined ? formatSize(Number(preset)) : preset,
  );
}
