import { parseJson } from "./json-text.ts";
import { keyTable } from "./key-table.ts";

/**
 * The value that a text stands for in the environment or on a command line: numbers and `true` or
 * `false` where the key wants them, and lists separated by commas or written as JSON; objects are written as JSON. What can't be read
 * stays a text, for the schema to refuse.
 */
export function valueFromText(key: string, text: string): unknown {
  const kind = keyTable().find((entry) => entry.key === key)?.kind;
  const trimmed = text.trim();
  if (kind === "text" || kind === undefined) return text;
  if (kind === "list") return listFromText(trimmed);
  if (kind === "objects") return objectsFromText(trimmed);
  if ((kind === "integer" || kind === "size") && /^[+-]?\d+$/.test(trimmed)) return Number(trimmed);
  if (kind === "boolean" && /^(?:true|false)$/.test(trimmed)) return trimmed === "true";
  return trimmed;
}

/** A list, also of one object: a repeated flag adds to it. */
function objectsFromText(text: string): unknown {
  const json = parseJson(text);
  if (!("value" in json)) return text;
  return [json.value].flat();
}

function listFromText(text: string): unknown {
  if (!text.startsWith("[")) return text.split(",").map((item) => item.trim());
  const json = parseJson(text);
  return "value" in json ? json.value : text;
}
