/** The tables of docs/protocol.md, as src/protocol/ defines what is in them. */
import { CLIENT_FRAMES } from "../src/protocol/client-frames.ts";
import { CLOSE } from "../src/protocol/close-codes.ts";
import type { DialectName } from "../src/protocol/dialects.ts";
import { ERROR_CODES } from "../src/protocol/error-codes.ts";
import { afterMessage, POLICY_EFFECTS, startPoint } from "../src/protocol/fields.ts";
import { PARAMETERS } from "../src/protocol/query.ts";
import { type Fields, type Frame, type JsonSchema, objectSchema } from "../src/protocol/schema.ts";
import { DATA_FRAME, GAP_REASONS, SERVER_FRAMES } from "../src/protocol/server-frames.ts";

const REQUESTS = framesWhere(({ answer }) => answer !== undefined);
const REPORTS = framesWhere(({ answer }) => answer === undefined);

/** The tables by their names in the document. */
export const PROTOCOL_TABLES = {
  "data-fields": () => fieldTable(DATA_FRAME.fields),
  parameters: () =>
    table(
      ["Parameter", "Clients", "Meaning"],
      Object.values(PARAMETERS).map(({ example, dialects, description }) => [
        code(example),
        dialects.map((dialect) => CLIENTS[dialect]).join(", "),
        description,
      ]),
    ),
  requests: () =>
    table(
      ["From the client", "Meaning", "Answer"],
      REQUESTS.map(({ example, description, answer }) => [json(example), description, answer!]),
    ),
  subscribe: () => fieldTable(CLIENT_FRAMES.subscribe.fields),
  "publish-fields": () =>
    fieldTable({ ...CLIENT_FRAMES.publish.fields, ...CLIENT_FRAMES.request.fields }),
  starts: () =>
    table(
      ["`from`", "Begins"],
      [...(startPoint.json.anyOf ?? []), afterMessage.json].map((place) => [
        json(place.const ?? place.examples?.[0]),
        place.description ?? "",
      ]),
    ),
  policies: () => table(["Policy", "If the queue is full"], entries(POLICY_EFFECTS)),
  notices: () =>
    table(
      ["From the server", "Meaning"],
      Object.values<Frame>(SERVER_FRAMES).map(({ example, description }) => [
        json(example),
        description,
      ]),
    ),
  "notice-fields": () =>
    table(
      ["Frame", "Field", "Meaning"],
      Object.values<Frame>(SERVER_FRAMES).flatMap(({ type, fields }) =>
        fieldRows(objectSchema(fields)).map((row) => [code(type), ...row]),
      ),
    ),
  "error-codes": () =>
    table(
      ["`code`", "Why"],
      Object.entries(ERROR_CODES).map(([name, { why }]) => [pageOf(name), why]),
    ),
  gaps: () =>
    table(
      ["`reason`", "Why the messages are missing", "`count`"],
      Object.entries(GAP_REASONS).map(([reason, { missing, count }]) => [
        code(reason),
        missing,
        count,
      ]),
    ),
  reports: () =>
    table(
      ["Frame", "Meaning"],
      REPORTS.map(({ example, description }) => [json(example), description]),
    ),
  "close-codes": () =>
    table(
      ["Code", "Reason", "Why", "What to do"],
      Object.values(CLOSE).map(({ code: number, reason, why, advice }) => [
        pageOf(`${number}`),
        reason,
        why,
        advice,
      ]),
    ),
} as const;

const CLIENTS: Readonly<Record<DialectName, string>> = {
  plain: "plain",
  v1: "`spillway.v1.json`",
  sse: "server-sent events",
};

function framesWhere(isWanted: (frame: Frame) => boolean): readonly Frame[] {
  return Object.values<Frame>(CLIENT_FRAMES).filter(isWanted);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |\n`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("");
}

function entries(meanings: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(meanings).map(([name, meaning]) => [code(name), meaning]);
}

function fieldTable(fields: Fields): string {
  return table(["Field", "Meaning"], fieldRows(objectSchema(fields)));
}

/** A row for each field, and for each field of an object in it. */
function fieldRows({ properties = {}, required = [] }: JsonSchema, path = ""): string[][] {
  return Object.entries(properties).flatMap(([name, schema]) => [
    [
      `${code(path + name)}${required.includes(name) ? "" : " (optional)"}`,
      schema.description ?? "",
    ],
    ...(schema.properties === undefined ? [] : fieldRows(schema, `${path}${name}.`)),
  ]);
}

/** A link to the page of a code. */
function pageOf(name: string): string {
  return `[${code(name)}](errors/${name}.md)`;
}

function code(text: string): string {
  return `\`${text}\``;
}

function json(value: unknown): string {
  return code(JSON.stringify(value));
}
