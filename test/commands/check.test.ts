import { describe, expect, test } from "bun:test";
import { run } from "./host.ts";

const issuer = { issuer: "https://id.example.com", audience: "a" };
const JWKS = "https://id.example.com/keys";

describe("spillway check", () => {
  test.each([
    [{ anonymous: [] }, '"anonymous" is an empty list but must not be'],
    [
      { anonymous: [{ subjects: { allow: ["a.{tenant}"] } }] },
      '"anonymous" [0].subjects.allow needs a claim "tenant" that is one literal token',
    ],
    [
      {
        issuers: [
          { ...issuer, jwks_url: JWKS },
          { ...issuer, jwks_url: `${JWKS}/2` },
        ],
      },
      '"issuers": The issuer "https://id.example.com" comes twice',
    ],
  ])("refuses what the gateway refuses at its start: %j", async (config, text) => {
    const { code, error } = await run(["check", "--config", "c.json"], {
      files: { "c.json": config },
    });
    expect({ code, error }).toEqual({
      code: 1,
      error: `Cannot use configuration from c.json: ${text}\n`,
    });
  });

  test.each([
    [
      "OTEL_TRACES_EXPORTER",
      "zipkin",
      'OTEL_TRACES_EXPORTER is "zipkin" but must be "otlp" or "none"',
    ],
    [
      "OTEL_EXPORTER_OTLP_ENDPOINT",
      "collector:4318",
      'OTEL_EXPORTER_OTLP_ENDPOINT is "collector:4318" but must be a URL that begins with "http://" or "https://"',
    ],
  ])("refuses %s=%s, as the gateway does at its start", async (variable, value, text) => {
    const env = { [variable]: value };
    expect(await run(["check"], { env })).toEqual({
      ...{ code: 1, output: "" },
      error: `${text}\nMore: spillway explain TELEMETRY_INVALID\n`,
    });
    const { code, output } = await run(["check", "--json"], { env });
    expect({ code, said: JSON.parse(output) }).toEqual({
      code: 1,
      said: { valid: false, problems: [{ from: "the environment", text }] },
    });
  });
});
