import { z } from "zod";

/** What is known of a key beside its schema. */
export interface KeyFacts {
  readonly category: "basic" | "advanced";
  /** One or two sentences; the limits and the default are not repeated in them. */
  readonly description: string;
  /** `"value"`: never shown. `"login"`: not shown when it may hold a login (`user:password@` or `?jwt=`). */
  readonly secret?: "value" | "login";
}

const facts = z.registry<KeyFacts>();

/** The facts of a schema that {@linkcode key} made. */
export function factsOf(schema: z.core.$ZodType): KeyFacts {
  return facts.get(schema) as KeyFacts;
}

/** One key of the configuration: its schema, and what is known of it. */
export function key<S extends z.ZodType>(
  category: KeyFacts["category"],
  description: string,
  schema: S,
  secret?: KeyFacts["secret"],
): S {
  facts.add(schema, { category, description, ...(secret && { secret }) });
  return schema;
}
