import type { KeyFacts } from "./key-facts.ts";
import { keyTable, shownDefault } from "./key-table.ts";

// All descriptions of the configuration.
export { checkReport, settingRows } from "./check-report.ts";
export { type ConfigSchema, componentSchema } from "./component-schema.ts";
export { flagRows, helpText } from "./help.ts";
export { jsonSchema } from "./json-schema.ts";

/** The documentation's table of the keys of a category. */
export function markdownTable(category: KeyFacts["category"]): string {
  const keys = keyTable().filter((entry) => entry.category === category);
  const rows = keys.map((entry) => {
    const preset = shownDefault(entry);
    const shown = preset === undefined ? "" : `\`${preset}\``;
    const change = entry.reloads ? "reload" : "restart";
    return [`\`${entry.key}\``, shown, entry.limits, change, entry.description];
  });
  return [
    ["Key", "Default", "Must be", "Change by", "What it does"],
    ["---", "---", "---", "---", "---"],
    ...rows,
  ]
    .map((cells) => `| ${cells.map(escaped).join(" | ")} |\n`)
    .join("");
}

/** `|` would end a cell, `<` begin a tag of HTML, and `*` begin emphasis. */
function escaped(cell: string): string {
  return cell.startsWith("`") ? cell : cell.replace(/[|<*]/g, "\\$&");
}
