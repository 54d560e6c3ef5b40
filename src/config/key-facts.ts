import { z } from "zod";

/** The facts about a key that its schema doesn't have. */
export interface KeyFacts {
  readonly category: "basic" | "advanced";
  /** One or two sentences, without the limits and the default. */
  readonly description: string;
  /** `"value"`: never shown. `"login"`: not shown when it may hold a login (`user:password@` or `?jwt=`). */
  readonly secret?: "value" | "login";
}

const facts = z.registry<KeyFacts>();

/** The facts of a schema that {@linkcode key} made. */
export function factsOf(schema: z.core.$ZodType): KeyFacts {
  return facts.get(schema) as KeyFacts;
}

/** Attaches the facts about a key to its schema. */
export function key<S extends z.ZodType>(
  category: KeyFacts["category"],
  description: string,
  schema: S,
  secret?: KeyFacts["secret"],
): S {
  facts.add(schema, { category, description, ...(secret && { secret }) });
  return schema;
}
