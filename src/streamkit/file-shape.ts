import { fieldName } from "../config/config.ts";
import { formatDuration } from "../config/duration.ts";
import { keyTable } from "../config/key-table.ts";

/**
 * Translates a configuration from the code's names and units (`writeTimeoutMs: 5000`) to those of a file
 * (`"write_timeout": "5s"`), so that the schema can check it. Leaves out `undefined`. Keeps unknown names, which the
 * schema refuses.
 */
export function fileShape(fields: object): Record<string, unknown> {
  const known = new Map(keyTable().map((entry) => [fieldName(entry.key), entry]));
  const shape: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const entry = known.get(field);
    const isDuration = entry?.kind === "duration" && Number.isFinite(value);
    shape[entry?.key ?? field] = isDuration ? formatDuration(value) : value;
  }
  return shape;
}
