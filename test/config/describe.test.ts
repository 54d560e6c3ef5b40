import { describe, expect, test } from "bun:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { componentSchema, helpText, jsonSchema, markdownTable } from "../../src/config/describe.ts";
import { formatDuration, parseDuration } from "../../src/config/duration.ts";
import { variableOf } from "../../src/config/environment.ts";
import { flagOf, SHORT_FLAGS } from "../../src/config/flags.ts";
import { keyTable, shownDefault } from "../../src/config/key-table.ts";
import { keys } from "../../src/config/keys.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { load } from "./refusal.ts";

const table = keyTable();

interface JsonProperties {
  [key: string]: { description: string; [keyword: string]: unknown };
}
const json = jsonSchema() as { properties: JsonProperties; [keyword: string]: unknown };

describe("Key table", () => {
  test("has every key with limits and a description that ends as a sentence", () => {
    expect(table.map(({ key }): string => key)).toEqual(Object.keys(keys));
    for (const { limits, description } of table) {
      expect(limits).not.toBe("");
      expect(description).toMatch(/^[A-Z].*\.$/);
    }
  });

  test("has durations under names that say so, and nothing else under such names", () => {
    for (const { key, kind } of table) {
      expect([
        key,
        /_(?:timeout|interval|age|tolerance|linger|backoff|ttl|grace|lag|delay|window)$/.test(key),
      ]).toEqual([key, kind === "duration"]);
    }
  });
});

describe("Help", () => {
  const text = helpText(
    "1.2.3",
    [{ name: "dance", summary: "Dances." }],
    [{ name: "--tune", value: "name", about: "The tune." }],
  );

  test("has the version, and lines of at most 96 columns that end in none", () => {
    expect(text).toStartWith("Spillway 1.2.3 ");
    expect(text).toEndWith("\n");
    for (const line of text.split("\n")) {
      expect(line.length).toBeLessThanOrEqual(96);
      expect(line).toBe(line.trimEnd());
    }
  });

  test.each(table.filter(({ kind }) => kind === "duration"))(
    "writes the default of $key as spillway check does",
    ({ default: preset }) => {
      const ms = parseDuration(String(preset));
      if (ms !== undefined) expect(preset).toBe(formatDuration(ms));
    },
  );

  test.each(table)("says name, default, description and limits of $key", (entry) => {
    const preset = entry.default === undefined ? "" : ` Default: ${shownDefault(entry)}.`;
    const { name, value } = flagOf(entry);
    const change = entry.reloads ? "" : " A change needs a restart.";
    const told = `${entry.description} Must be ${entry.limits}.${preset}${change}`;
    expect(text).toContain(`\n  ${name} <${value}>\n`);
    expect(text.replace(/\s+/g, " ")).toContain(told.replace(/\s+/g, " "));
  });

  test("has every command, flag and variable", () => {
    expect(text).toContain("\n  dance                 Dances.\n");
    expect(text).toContain("\n  --tune <name>         The tune.\n");
    for (const { name } of SHORT_FLAGS) expect(text).toContain(`\n  ${name} `);
    for (const name of ["SPILLWAY_<KEY>", "SPILLWAY_CONFIG", "NATS_URL", "PORT"]) {
      expect(text).toContain(`\n  ${name} `);
    }
  });

  test("has examples that work", async () => {
    const examples = [...text.matchAll(/^ {2}((?:SPILLWAY_\S+ )?spillway.*)$/gm)];
    expect(examples.length).toBeGreaterThan(1);
    for (const [, command = ""] of examples) {
      const words = command.replaceAll("'", "").split(" ");
      const at = words.indexOf("spillway");
      const env = Object.fromEntries(words.slice(0, at).map((word) => word.split("=")));
      const argv = words.slice(at + 1).filter((word) => word !== "check");
      const files = { "spillway.json": { nats_url: "nats://localhost" } };
      expect(await load({ argv, env, files })).toHaveProperty("config");
    }
  });
});

describe("Markdown tables", () => {
  const lines = (["basic", "advanced"] as const).flatMap((category) =>
    markdownTable(category).trimEnd().split("\n"),
  );

  test("has a row of five cells for every key", () => {
    expect(lines).toHaveLength(table.length + 2 * 2);
    for (const line of lines) expect(line.split(/(?<!\\)\|/)).toHaveLength(7);
  });

  test.each(table)("says name and default of $key", (entry) => {
    const preset = shownDefault(entry);
    const cell = preset === undefined ? "" : `\`${preset}\``;
    expect(lines.some((line) => line.startsWith(`| \`${entry.key}\` | ${cell} | `))).toBe(true);
  });
});

describe("JSON Schema", () => {
  test("is of draft 2020-12, strict, and has ports beside every key", () => {
    expect(json).toMatchObject({
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
      additionalProperties: false,
    });
    expect(Object.keys(json.properties)).toEqual([
      "$schema",
      "ports",
      "passthrough",
      "security",
      ...Object.keys(keys),
    ]);
    expect(json.required).toBeUndefined();
  });

  test.each(table)("says default, description and limits of $key", (entry) => {
    const { default: preset, description } = json.properties[entry.key]!;
    expect(preset).toEqual(entry.default);
    const change = entry.reloads ? "" : " A change needs a restart.";
    expect(description).toBe(`${entry.description} Must be ${entry.limits}.${change}`);
  });

  test("accepts what is accepted, and refuses what a pattern or a bound can say", () => {
    const isValid = new Ajv2020({ strict: false }).compile(jsonSchema());
    const accepted = {
      $schema: "http://localhost:8080/schema.json",
      passthrough: true,
      port: 80,
      max_queue_bytes: "16MB",
      ring_bytes: 1000,
      write_timeout: "5s",
      ports: { inputs: [{ name: "in", type: "nats", subject: "events.>" }] },
    };
    expect([isValid(accepted), isValid.errors]).toEqual([true, null]);
    expect(parseConfig(accepted).maxQueueBytes).toBe(16_000_000);
    for (const wrong of [
      { max_queue_bytes: "16M" },
      { max_queue_bytes: 0 },
      { port: 65_536 },
      { passthrough: "yes" },
      { $schema: 5 },
      { prot: 1 },
      { compression: "true" },
    ]) {
      expect([wrong, isValid(wrong)]).toEqual([wrong, false]);
      expect(() => parseConfig(wrong)).toThrow();
    }
  });

  test("says types and bounds", () => {
    expect(json.properties).toMatchObject({
      port: { type: "integer", minimum: 0, maximum: 65_535 },
      subjects: { type: "array" },
      write_timeout: { type: "string" },
      publish: { type: "boolean" },
      max_frame_bytes: {
        default: 65_536,
        anyOf: [{ type: "integer", minimum: 1024, maximum: 16_777_216 }, { type: "string" }],
      },
      log_level: { enum: ["debug", "info", "warn", "error"] },
      nats_password: { writeOnly: true },
    });
  });

  test("has only what is accepted among the choices", () => {
    expect(json.properties.delivery_mode?.enum).toEqual(["at-most-once", "at-least-once"]);
  });

  test("has patterns that a JSON Schema validator understands, and that match the defaults", () => {
    for (const { pattern, default: preset } of Object.values(json.properties)) {
      if (pattern === undefined) continue;
      new RegExp(String(pattern), "u");
      if (preset !== undefined) expect(String(preset)).toMatch(new RegExp(String(pattern), "u"));
    }
  });

  test("can be changed by nobody else", () => {
    json.properties.port = { description: "" };
    expect(jsonSchema()).not.toEqual(json);
  });
});

describe("StreamKit's ConfigSchema", () => {
  const { properties, required } = componentSchema();

  test("has ports and every key, in types that StreamKit knows", () => {
    expect(required).toEqual([]);
    expect(Object.keys(properties)).toEqual(["ports", ...Object.keys(keys)]);
    for (const property of Object.values(properties)) {
      expect(["string", "int", "bool", "enum", "array", "ports"]).toContain(property.type);
      expect(["basic", "advanced"]).toContain(property.category);
    }
  });

  test("says bounds, choices and defaults", () => {
    expect(properties.port).toEqual({
      type: "int",
      // The gateway itself may have the ports below too.
      description:
        "The TCP port to listen on. Must be 0 (any free port) or an integer from 1024 to 65535. A change needs a restart.",
      category: "basic",
      default: 8080,
      minimum: 0,
      maximum: 65_535,
    });
    expect(properties.payload_format).toMatchObject({
      type: "enum",
      enum: ["raw", "annotated"],
      default: "raw",
    });
    expect(properties.max_frame_bytes).toMatchObject({
      type: "int",
      default: 65_536,
      minimum: 1024,
      maximum: 16_777_216,
    });
    for (const { key, default: preset } of table) expect(properties[key]?.default).toEqual(preset);
  });

  test("says which fields of a port can be edited", () => {
    expect(properties.ports).toMatchObject({
      type: "ports",
      category: "basic",
      portFields: {
        name: { type: "string", editable: false },
        subject: { type: "string", editable: true },
        required: { type: "bool", editable: false },
        config: { type: "object", editable: true },
      },
    });
  });
});

test("Variables are named after their keys", () => {
  expect(variableOf("write_timeout")).toBe("SPILLWAY_WRITE_TIMEOUT");
});
