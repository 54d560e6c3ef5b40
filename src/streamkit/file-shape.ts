import { fieldName } from "../config/config.ts";
import { formatDuration } from "../config/duration.ts";
import { keyTable } from "../config/key-table.ts";

/**
 * A configuration in the code's names and units (`writeTimeoutMs: 5000`) as a file would say it
 * (`"write_timeout": "5s"`), for the one schema to check. A name that is unknown stays as it is,
 * so that the schema refuses it; what is `undefined` is left out.
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
