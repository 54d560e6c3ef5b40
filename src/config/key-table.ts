import { z } from "zod";
import { factsOf, type KeyFacts } from "./key-facts.ts";
import { type Key, keys } from "./keys.ts";
import { formatSize } from "./size.ts";
import { type ValueFacts, valueFacts } from "./value.ts";

/** All that is known of one key, read from its schema. */
export interface KeyEntry extends KeyFacts, Omit<ValueFacts, "refused"> {
  readonly key: Key;
  /** As a file would say it; `undefined` when the key may be left unset. */
  readonly default: unknown;
}

/** The keys in their order, for whatever describes them or reads them from texts. */
export function keyTable(): KeyEntry[] {
  return Object.entries(keys).map(([key, schema]) => {
    const value = valueFacts(schema.unwrap());
    if (value === undefined) throw new TypeError(`"${key}" has a schema without facts`);
    const { kind, limits } = value;
    const preset = schema instanceof z.ZodPrefault ? schema.def.defaultValue : undefined;
    return { key: key as Key, ...factsOf(schema), kind, limits, default: preset };
  });
}

/** A key's default as one writes it in a file, `undefined` when it has none: `"5s"`, `"64KiB"`. */
export function shownDefault({ kind, default: preset }: KeyEntry): string | undefined {
  return JSON.stringify(
    kind === "size" && preset !== undefined ? formatSize(Number(preset)) : preset,
  );
}
