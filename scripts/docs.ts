/** `npm run docs`: writes the documentation that derives from the code. Tests hold the files to it. */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { markdownTable } from "../src/config/describe.ts";
import { Distribution } from "../src/core/metering/distribution.ts";
import { Meter } from "../src/core/metering/meter.ts";
import { ERRORS } from "../src/core/ports/errors.ts";
import { FAMILIES, type Family } from "../src/metrics/families.ts";
import { PROCESS_FAMILIES } from "../src/metrics/process.ts";
import { configInput } from "./config-input.ts";
import { PROTOCOL_TABLES } from "./protocol-tables.ts";

/** The page of error codes. */
export const ERRORS_PAGE: string = fileURLToPath(new URL("../docs/errors.md", import.meta.url));

/** The type of the configuration. */
export const CONFIG_INPUT: string = fileURLToPath(
  new URL("../src/config/input.generated.ts", import.meta.url),
);

export const README: string = fileURLToPath(new URL("../README.md", import.meta.url));

export const PROTOCOL_PAGE: string = fileURLToPath(new URL("../docs/protocol.md", import.meta.url));

type Tables = Readonly<Record<string, () => string>>;

export const README_TABLES: Tables = { keys: markdownTable, metrics: metricsTable };

/** Returns a document with its tables as the code has them. */
export function withTables(document: string, tables: Tables): string {
  return Object.entries(tables).reduce((text, [name, table]) => {
    const place = new RegExp(`(<!-- ${name}: [^>]*-->\\n)[\\s\\S]*?(<!-- /${name} -->)`);
    if (!place.test(text)) throw new Error(`The document has no place for the table of ${name}`);
    return text.replace(place, (_, begin: string, end: string) => `${begin}\n${table()}\n${end}`);
  }, document);
}

/** Every metric with its kind and its labels; a label whose values are a list in the code is told with them. */
function metricsTable(): string {
  const rows = [...FAMILIES, ...PROCESS_FAMILIES].map((family) => {
    const { name, kind, help } = family;
    const labels = "labels" in family ? family.labels : [];
    const braces = labels.length === 0 ? "" : `{${labels.join(",")}}`;
    return `| \`${name}${braces}\` | ${kind} | ${help}${"labels" in family ? valuesOf(family) : ""} |\n`;
  });
  return ["| Name | Kind | What it says |\n", "| --- | --- | --- |\n", ...rows].join("");
}

function valuesOf(family: Exclude<Family, { kind: "histogram" }>): string {
  const [label, ...others] = family.labels;
  if (label === undefined || others.length > 0) return "";
  const values = [...family.read(UNUSED)].map(([[value]]) => `\`${value}\``);
  return values.length === 0 ? "" : ` ${label}: ${values.join(", ")}.`;
}

/** A component to which nothing has happened. */
export const UNUSED: Parameters<Exclude<Family, { kind: "histogram" }>["read"]>[0] = {
  name: "",
  meter: new Meter(),
  build: { version: "", runtime: "", runtimeVersion: "" },
  sourceConnected: () => false,
  upstream: () => ({ subscriptions: 0, pending: 0 }),
  kept: () => ({ messages: 0, bytes: 0 }),
  sessionBytes: () => 0,
  durables: () => 0,
  streams: () => [],
  uptimeSeconds: () => 0,
  loopLag: () => new Distribution([]),
};

/** Every code of a `SpillwayError`, with what it means and what to do. */
export function errorsPage(): string {
  const rows = Object.entries(ERRORS).map(
    ([code, { class: errorClass, meaning, remedy }]) =>
      `| \`${code}\` | ${errorClass} | ${meaning} | ${remedy} |\n`,
  );
  return `# Errors

<!-- made by \`npm run docs\` from src/core/ports/errors.ts -->

Every error of the library is a \`SpillwayError\`. Its \`code\` and \`class\` are for programs; its \`message\` is for people and names the
action, the value and the rule. \`cause\` is the error behind it, where there is one.

The class says who can fix it. \`invalid\`: the request or the configuration is wrong, so a retry fails again. \`transient\`: something
outside of the process is in the way, so a retry may succeed. \`fatal\`: the program is broken; report it and restart the process.

| Code | Class | What happened | What to do |
| --- | --- | --- | --- |
${rows.join("")}
These are errors of the library. Errors that a client sees (HTTP statuses, \`error\` frames, close codes) are in [protocol.md](protocol.md).
`;
}

if (import.meta.main) {
  writeFileSync(README, withTables(readFileSync(README, "utf8"), README_TABLES));
  writeFileSync(PROTOCOL_PAGE, withTables(readFileSync(PROTOCOL_PAGE, "utf8"), PROTOCOL_TABLES));
  writeFileSync(ERRORS_PAGE, errorsPage());
  writeFileSync(CONFIG_INPUT, configInput());
}
