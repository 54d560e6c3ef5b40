import { LOWEST_COMPONENT_PORT, portLimits } from "./address.ts";
import { type JsonProperty, jsonProperties } from "./json-schema.ts";
import { keyTable } from "./key-table.ts";
import { knownPortKeys } from "./streamkit-ports.ts";

/**
 * StreamKit's description of a component's configuration, from which its flow builder makes a
 * form. The names are the JSON names of its Go types `ConfigSchema`, `PropertySchema` and
 * `PortFieldInfo` (package `component`).
 */
export interface ConfigSchema {
  readonly properties: Readonly<Record<string, PropertySchema>>;
  readonly required: readonly string[];
}

export interface PropertySchema {
  readonly type: "string" | "int" | "bool" | "enum" | "array" | "ports";
  readonly description: string;
  readonly category: "basic" | "advanced";
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  /** The fields of one port; only for the key `ports`. */
  readonly portFields?: Readonly<Record<string, PortFieldInfo>>;
}

export interface PortFieldInfo {
  readonly type: "string" | "bool" | "object";
  readonly editable: boolean;
}

const TYPES = {
  text: "string",
  duration: "string",
  integer: "int",
  size: "int",
  boolean: "bool",
  choice: "enum",
  list: "array",
  objects: "array",
} as const;

/** The fields of a port that StreamKit's form can edit. */
const EDITABLE = ["subject", "config"];

/** Limits that are narrower in StreamKit, in words. */
const [OUR_PORTS, ITS_PORTS] = [portLimits(1), portLimits(LOWEST_COMPONENT_PORT)];

/** Returns the description of the configuration in StreamKit's shape. No key is required, as each has a default. */
export function componentSchema(): ConfigSchema {
  const json = jsonProperties();
  const properties: Record<string, PropertySchema> = {
    ports: {
      type: "ports",
      description: json.ports?.description ?? "",
      category: "basic",
      portFields: portFields(),
    },
  };
  for (const { key, kind, category } of keyTable()) {
    const { description = "", default: preset, enum: words, ...property } = json[key] ?? {};
    // A size may also be a text, but StreamKit's forms have no type for both.
    const { minimum, maximum }: JsonProperty = property.anyOf?.[0] ?? property;
    properties[key] = {
      type: TYPES[kind],
      description: description.replace(OUR_PORTS, ITS_PORTS),
      category,
      ...(preset !== undefined && { default: preset }),
      ...(words !== undefined && { enum: words }),
      ...(minimum !== undefined && { minimum }),
      ...(maximum !== undefined && { maximum }),
    };
  }
  return { properties, required: [] };
}

function portFields(): Record<string, PortFieldInfo> {
  const fields = knownPortKeys(["inputs", 0]).map((field): [string, PortFieldInfo] => {
    const type = field === "required" ? "bool" : field === "config" ? "object" : "string";
    return [field, { type, editable: EDITABLE.includes(field) }];
  });
  return Object.fromEntries(fields);
}
