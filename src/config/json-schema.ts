import { z } from "zod";
import { factsOf } from "./key-facts.ts";
import { type Key, keys } from "./keys.ts";
import { RELOADABLE_KEYS } from "./reloadable-keys.ts";
import { portsSchema } from "./streamkit-ports.ts";
import { securitySchema } from "./streamkit-security.ts";
import { valueFacts } from "./value-schemas.ts";

/** The part of a property of {@linkcode jsonSchema} that is used here. */
export interface JsonProperty {
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  /** The two forms of a size: a number, and a text. */
  readonly anyOf?: readonly JsonProperty[];
}

/** The shape of a configuration file: every key, StreamKit's `ports`, `passthrough` and `security`, and `$schema`. */
const fileSchema = z.strictObject({
  $schema: z.string().optional(),
  ports: portsSchema.optional(),
  passthrough: z.boolean().optional(),
  security: securitySchema.optional(),
  ...keys,
});

/**
 * The JSON Schema (draft 2020-12) of a configuration file. It can't say all: rules between keys, and
 * those that are no pattern, are in the descriptions.
 */
export function jsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(fileSchema, {
    target: "draft-2020-12",
    io: "input",
    override: ({ zodSchema, jsonSchema: json }) => {
      const refused = valueFacts(zodSchema)?.refused ?? {};
      if (json.enum) json.enum = json.enum.filter((word) => !Object.hasOwn(refused, String(word)));
    },
  });
  const properties = schema.properties as Record<string, Record<string, unknown>>;
  for (const [key, keySchema] of Object.entries(keys)) {
    const { description, secret } = factsOf(keySchema);
    const limits = valueFacts(keySchema.unwrap())?.limits;
    const change = RELOADABLE_KEYS.has(key as Key) ? "" : " A change needs a restart.";
    const described = `${description} Must be ${limits}.${change}`;
    properties[key] = {
      description: described,
      ...properties[key],
      ...(secret === "value" && { writeOnly: true }),
    };
  }
  properties.$schema = { description: "This schema, for editors.", ...properties.$schema };
  properties.passthrough = {
    description: 'StreamKit\'s way to say payload_format: true is "raw", and false "annotated".',
    ...properties.passthrough,
  };
  properties.security = {
    description:
      "StreamKit's way to say tls_… (tls.server; all else is for other parts of StreamKit).",
    ...properties.security,
  };
  properties.ports = {
    description:
      "StreamKit's way to say subjects (inputs) and host, port and path (one output, with port 8081 and semantic.> when it says nothing else).",
    ...properties.ports,
  };
  return { ...schema, title: "Spillway configuration" };
}

/** The properties of {@linkcode jsonSchema}, by key. */
export function jsonProperties(): Readonly<Record<string, JsonProperty>> {
  return jsonSchema().properties as Record<string, JsonProperty>;
}
