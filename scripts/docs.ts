/** `npm run docs`: writes the documentation that derives from the code. Tests hold the files to it. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { AUDIT_EVENTS, AUDIT_FIELDS } from "../src/access/audit-log.ts";
import { COMMANDS } from "../src/commands/commands.ts";
import { type CodeKind, type ExplainedCode, explainedCodes } from "../src/commands/explanations.ts";
import { markdownTable } from "../src/config/describe.ts";
import { Distribution } from "../src/core/metering/distribution.ts";
import { Meter } from "../src/core/metering/meter.ts";
import { measureLags } from "../src/core/sessions/client-lags.ts";
import { FAMILIES, type Family, zeroReloads } from "../src/metrics/families.ts";
import { PROCESS_FAMILIES } from "../src/metrics/process.ts";
import { RULES_FILE, rulesFile, runbook } from "./alerts.ts";
import { clientScript } from "./client-script.ts";
import { configInput } from "./config-input.ts";
import { DASHBOARD_FILE, dashboard } from "./dashboard.ts";
import { ROOT } from "./installed.ts";
import { PROTOCOL_TABLES } from "./protocol-tables.ts";

/** The page of error codes. */
export const ERRORS_PAGE: string = fileURLToPath(new URL("../docs/errors.md", import.meta.url));

/** The folder of the pages of single codes. */
export const CODE_PAGES: string = fileURLToPath(new URL("../docs/errors/", import.meta.url));

/** The type of the configuration. */
export const CONFIG_INPUT: string = fileURLToPath(
  new URL("../src/config/input.generated.ts", import.meta.url),
);

/** The module that holds the client for pages. */
export const CLIENT_SCRIPT: string = fileURLToPath(
  new URL("../src/http/client-script.generated.ts", import.meta.url),
);

type Tables = Readonly<Record<string, () => string>>;

/** The pages, from the root of the repository, that have tables of what is in the code. */
export const PAGES_WITH_TABLES: readonly (readonly [page: string, tables: Tables])[] = [
  ["README.md", { commands: commandsTable }],
  [
    "docs/configuration.md",
    {
      "basic keys": () => markdownTable("basic"),
      "advanced keys": () => markdownTable("advanced"),
    },
  ],
  ["docs/metrics.md", { metrics: metricsTable }],
  [
    "docs/client.md",
    {
      "gateway codes": () => codesTable("frame"),
      "client codes": () => codesTable("client"),
    },
  ],
  ["docs/protocol.md", PROTOCOL_TABLES],
  ["docs/security.md", { audit: auditTable, "audit fields": auditFieldsTable }],
  ["docs/operations.md", { alerts: runbook }],
];

/** Returns a document with its tables as the code has them. */
export function withTables(document: string, tables: Tables): string {
  return Object.entries(tables).reduce((text, [name, table]) => {
    const place = new RegExp(`(<!-- ${name}: [^>]*-->\\n)[\\s\\S]*?(<!-- /${name} -->)`);
    if (!place.test(text)) throw new Error(`The document has no place for the table of ${name}`);
    return text.replace(place, (_, begin: string, end: string) => `${begin}\n${table()}\n${end}`);
  }, document);
}

/** Every command. */
function commandsTable(): string {
  const rows = COMMANDS.map(({ name, summary }) => `| \`${name}\` | ${summary} |\n`);
  return ["| Command | What it does |\n", "| --- | --- |\n", ...rows].join("");
}

/** Every event of the audit log, with its fields. */
function auditTable(): string {
  const rows = Object.entries(AUDIT_EVENTS).map(
    ([event, { meaning, fields, perSecond }]) =>
      `| \`${event}\` | ${meaning} | ${fields.map((name) => `\`${name}\``).join(", ")} | ${perSecond} |\n`,
  );
  return [
    "| Event | When | Fields | Lines per second |\n",
    "| --- | --- | --- | --- |\n",
    ...rows,
  ].join("");
}

function auditFieldsTable(): string {
  const rows = Object.entries(AUDIT_FIELDS).map(([name, text]) => `| \`${name}\` | ${text} |\n`);
  return ["| Field | What it says |\n", "| --- | --- |\n", ...rows].join("");
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
  accounts: () => [],
  presence: () => ({ connections: 0, omitted: 0, watches: 0, writes: 0, isStale: false }),
  streams: () => [],
  uptimeSeconds: () => 0,
  lags: () => measureLags([], 0),
  reloads: () => ({ counts: zeroReloads(), lastSuccessSeconds: 0 }),
  loopLag: () => new Distribution([]),
};

/** The codes of one kind, with what they mean. @param folder where their pages are, from the page with the table. */
function codesTable(kind: CodeKind, folder = "errors/"): string {
  const rows = explainedCodes()
    .filter((one) => one.kind === kind)
    .map(({ code, explanations }) => {
      const whys = explanations.map(({ why, reason }) =>
        reason === undefined ? why : `*${reason}*: ${why}`,
      );
      return `| [\`${code}\`](${folder}${code}.md) | ${whys.join("<br>")} |\n`;
    });
  return ["| Code | Why |\n", "| --- | --- |\n", ...rows].join("");
}

/** The list of all codes. */
export function errorsPage(): string {
  return `# Errors and close codes

<!-- made by \`npm run docs\` from src/commands/explanations.ts -->

Each code has a page that says what it means, what the client does, and what to do. \`spillway explain <code>\` prints the same in a
terminal, and an error's \`help\` is the place of its page in the package.

## Errors of the gateway and the library

Every error of the library is a \`SpillwayError\`. Its \`code\` and \`class\` are for programs; its \`message\` is for people and names the
action, the value and the rule. \`cause\` is the error behind it, where there is one.

The class says who can fix it. \`invalid\`: the request or the configuration is wrong, so a retry fails again. \`transient\`: something
outside of the process is in the way, so a retry may succeed. \`fatal\`: the program is broken; report it and restart the process.

${codesTable("library")}
## Codes of \`error\` frames

${codesTable("frame")}
## Codes of the client

${codesTable("client")}
## Close codes

${codesTable("close")}`;
}

const SOURCES: Readonly<Record<CodeKind, string>> = {
  library: "src/core/ports/errors.ts",
  frame: "src/protocol/error-codes.ts",
  client: "src/protocol/client-errors.ts",
  close: "src/protocol/close-codes.ts",
};

const MORE: Readonly<Record<CodeKind, string>> = {
  library: "[All codes](../errors.md)",
  frame: "[The protocol](../protocol.md) has the frames. [All codes](../errors.md)",
  client: "[The client](../client.md#errors) has the fields of an error. [All codes](../errors.md)",
  close:
    "[The protocol](../protocol.md#close-codes) says how a client reconnects. [All codes](../errors.md)",
};

/** The page of each code, by its file's name. */
export function codePages(): ReadonlyMap<string, string> {
  return new Map(explainedCodes().map((one) => [`${one.code}.md`, codePage(one)]));
}

function codePage({ kind, title, place, explanations }: ExplainedCode): string {
  const blocks = explanations.map(({ reason, why, client, advice }) => [
    ...(reason === undefined ? [] : [`## ${reason[0]?.toUpperCase()}${reason.slice(1)}`]),
    `**What happened.** ${why}`,
    ...(client === undefined ? [] : [`**What \`spillway/client\` does.** ${client}`]),
    `**What to do.** ${advice}`,
  ]);
  return `${[
    `# ${title}`,
    `<!-- made by \`npm run docs\` from ${SOURCES[kind]} -->`,
    place,
    ...blocks.flat(),
    MORE[kind],
  ].join("\n\n")}\n`;
}

if (import.meta.main) {
  for (const [page, tables] of PAGES_WITH_TABLES) {
    const file = ROOT + page;
    writeFileSync(file, withTables(readFileSync(file, "utf8"), tables));
  }
  writeFileSync(RULES_FILE, rulesFile());
  writeFileSync(DASHBOARD_FILE, dashboard());
  writeFileSync(ERRORS_PAGE, errorsPage());
  mkdirSync(CODE_PAGES, { recursive: true });
  for (const file of readdirSync(CODE_PAGES)) rmSync(CODE_PAGES + file);
  for (const [file, page] of codePages()) writeFileSync(CODE_PAGES + file, page);
  writeFileSync(CONFIG_INPUT, configInput());
  writeFileSync(CLIENT_SCRIPT, clientScript());
}
