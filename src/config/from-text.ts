import { keyTable } from "./key-table.ts";

/**
 * The value that a text stands for in the environment or on a command line: numbers and `true` or
 * `false` where the key wants them, and lists parted by commas. What can't be read stays a text,
 * for the schema to refuse.
 */
export function valueFromText(key: string, text: string): unknown {
  const kind = keyTable().find((entry) => entry.key === key)?.kind;
  if ((kind === "integer" || kind === "size") && /^[+-]?\d+$/.test(text)) return Number(text);
  if (kind === "boolean" && /^(?:true|false)$/.test(text)) return text === "true";
  if (kind === "list") return text.split(",").map((item) => item.trim());
  return text;
}
