/** The source of `src/config/input.generated.ts`: the configuration's type, with its documentation for editors. */
import { jsonSchema } from "../src/config/json-schema.ts";
import { keyTable, shownDefault } from "../src/config/key-table.ts";

/** The parts of a JSON Schema that make a type. */
interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly enum?: readonly string[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
}

const WIDTH = 100;

/** Returns the source text. */
export function configInput(): string {
  const { properties = {} } = jsonSchema() as Schema;
  const defaults = new Map(keyTable().map((entry) => [entry.key as string, shownDefault(entry)]));
  const fields = Object.entries(properties).map(([key, schema]) => {
    const preset = defaults.get(key);
    const text = `${schema.description}${preset === undefined ? "" : `\n\nDefault: \`${preset}\``}`;
    return `${comment(text)}  readonly ${key}?: ${typeOf(schema, "  ")} | undefined;\n`;
  });
  return `// Made by \`npm run docs\` from the schema in keys.ts. Do not edit.

/**
 * The configuration in the shape of a file: its keys, StreamKit's \`ports\`, \`passthrough\` and \`security\`. All are optional.
 * Durations are texts like \`"5s"\`; sizes are bytes, or texts like \`"64KiB"\`.
 */
export interface ConfigInput {
${fields.join("\n")}}
`;
}

function typeOf(schema: Schema, indent: string): string {
  if (schema.anyOf !== undefined) return schema.anyOf.map((one) => typeOf(one, indent)).join(" | ");
  if (schema.enum !== undefined) return schema.enum.map((word) => JSON.stringify(word)).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  switch (schema.type) {
    case "integer":
    case "number":
      return "number";
    case "array": {
      const element = typeOf(schema.items ?? {}, indent);
      return `readonly ${element.includes(" | ") ? `(${element})` : element}[]`;
    }
    case "object":
      return objectType(schema, indent);
    case "string":
    case "boolean":
      return schema.type;
    default:
      return "unknown";
  }
}

function objectType({ properties = {}, required = [] }: Schema, indent: string): string {
  const inner = `${indent}  `;
  const fields = Object.entries(properties).map(([key, schema]) => {
    const type = typeOf(schema, inner);
    return `${inner}readonly ${key}${required.includes(key) ? `: ${type}` : `?: ${type} | undefined`};\n`;
  });
  return `{\n${fields.join("")}${indent}}`;
}

/** A documentation comment, with its lines wrapped. */
function comment(text: string): string {
  const lines = text.split("\n").flatMap(wrapped);
  if (lines.length === 1) return `  /** ${lines[0]} */\n`;
  return `  /**\n${lines.map((line) => `   *${line === "" ? "" : ` ${line}`}\n`).join("")}   */\n`;
}

function wrapped(text: string): string[] {
  const lines = [""];
  for (const word of text.replaceAll("*/", "*\\/").split(" ")) {
    const line = lines.at(-1)!;
    if (line !== "" && line.length + word.length > WIDTH) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines;
}
