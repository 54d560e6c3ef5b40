import { describe, expect, test } from "bun:test";
import { SpillwayError } from "../../src/core/ports/errors.ts";
import { numberIn, readTelemetrySettings } from "../../src/telemetry/settings.ts";

const ENDPOINT = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://localhost:4318" };

const signalsOf = (env: Record<string, string>): string[] => [
  ...(readTelemetrySettings(env)?.signals.keys() ?? []),
];

/** Returns the message of the error that settings cause. */
function refusalOf(env: Record<string, string>): string {
  try {
    readTelemetrySettings(env);
  } catch (error) {
    expect(error).toBeInstanceOf(SpillwayError);
    expect((error as SpillwayError).code).toBe("TELEMETRY_INVALID");
    return (error as Error).message;
  }
  throw new Error("no error");
}

describe("readTelemetrySettings", () => {
  test("asks for nothing by itself", () => {
    expect(readTelemetrySettings({})).toBeUndefined();
    expect(readTelemetrySettings({ OTEL_SERVICE_NAME: "x" })).toBeUndefined();
    expect(readTelemetrySettings({ OTEL_EXPORTER_OTLP_ENDPOINT: "" })).toBeUndefined();
    expect(readTelemetrySettings({ ...ENDPOINT, OTEL_SDK_DISABLED: "true" })).toBeUndefined();
  });

  test.each([
    [ENDPOINT, ["traces", "metrics", "logs"]],
    [
      {
        ...ENDPOINT,
        OTEL_RESOURCE_ATTRIBUTES: `env=prod, team = a%3Db%2Cc,,empty=,most=${"%20".repeat(255)}`,
      },
      ["traces", "metrics", "logs"],
    ],
    [{ OTEL_TRACES_EXPORTER: "otlp" }, ["traces"]],
    [{ OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: "http://localhost:4318/v1/logs" }, ["logs"]],
    [{ ...ENDPOINT, OTEL_METRICS_EXPORTER: "none" }, ["traces", "logs"]],
    [{ ...ENDPOINT, OTEL_METRICS_EXPORTER: "prometheus" }, ["traces", "logs"]],
    [{ ...ENDPOINT, OTEL_TRACES_EXPORTER: "none", OTEL_LOGS_EXPORTER: "none" }, ["metrics"]],
  ])("%j asks for %j", (env, signals) => {
    expect(signalsOf(env as Record<string, string>)).toEqual(signals);
  });

  test.each([
    [
      { OTEL_TRACES_EXPORTER: "zipkin" },
      'OTEL_TRACES_EXPORTER is "zipkin" but must be "otlp" or "none"',
    ],
    [
      { ...ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" },
      'OTEL_EXPORTER_OTLP_PROTOCOL is "grpc" but must be "http/protobuf", which collectors take at port 4318',
    ],
    [
      { ...ENDPOINT, OTEL_TRACES_SAMPLER: "jaeger_remote" },
      'OTEL_TRACES_SAMPLER is "jaeger_remote" but must be one of always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off, parentbased_traceidratio',
    ],
    [
      { ...ENDPOINT, OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "2" },
      'OTEL_TRACES_SAMPLER_ARG is "2" but must be a number from 0 to 1',
    ],
    [
      { ...ENDPOINT, OTEL_EXPORTER_OTLP_COMPRESSION: "zstd" },
      'OTEL_EXPORTER_OTLP_COMPRESSION is "zstd" but must be "gzip" or "none"',
    ],
    [
      { ...ENDPOINT, OTEL_EXPORTER_OTLP_METRICS_TIMEOUT: "10s" },
      'OTEL_EXPORTER_OTLP_METRICS_TIMEOUT is "10s" but must be a number, 1 or more',
    ],
    [
      { ...ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS: "a=1,Bearer secret" },
      'OTEL_EXPORTER_OTLP_HEADERS is "***" but must be pairs like "name=value,other=value"',
    ],
    [
      { ...ENDPOINT, OTEL_METRIC_EXPORT_INTERVAL: "1m" },
      'OTEL_METRIC_EXPORT_INTERVAL is "1m" but must be a number, 1 or more',
    ],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: "10.0.0.1:4318" },
      'OTEL_EXPORTER_OTLP_ENDPOINT is "10.0.0.1:4318" but must be a URL that begins with "http://" or "https://"',
    ],
    [
      { ...ENDPOINT, OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: "collector:4318/v1/logs" },
      'OTEL_EXPORTER_OTLP_LOGS_ENDPOINT is "collector:4318/v1/logs" but must be a URL that begins with "http://" or "https://"',
    ],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: "grpc://user:secret@collector:4317" },
      'OTEL_EXPORTER_OTLP_ENDPOINT is "grpc://***@collector:4317" but must be a URL that begins with "http://" or "https://"',
    ],
  ])("refuses %j", (env, message) => {
    expect(refusalOf(env as Record<string, string>)).toBe(message);
  });

  test.each(["garbage", "=prod", "env=a=b", "env=100%", `env=${"a".repeat(256)}`])(
    "refuses the attributes %j",
    (text) => {
      expect(refusalOf({ ...ENDPOINT, OTEL_RESOURCE_ATTRIBUTES: text })).toBe(
        `OTEL_RESOURCE_ATTRIBUTES is "${text}" but must be pairs like "name=value,other=value", with %2C and %3D for "," and "=" in a value, and at most 255 characters in each`,
      );
    },
  );

  test("reads the sampler, and a number", () => {
    const env = { OTEL_TRACES_SAMPLER: "parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG: "0.1" };
    expect(readTelemetrySettings({ ...ENDPOINT, ...env })).toMatchObject({
      sampler: "parentbased_traceidratio",
      ratio: 0.1,
    });
    expect(numberIn({ N: "7" }, "N")).toBe(7);
    expect(numberIn({ N: "" }, "N")).toBeUndefined();
    expect(() => numberIn({ N: "x" }, "N")).toThrow('N is "x" but must be a number, 0 or more');
    expect(() => numberIn({ N: "0" }, "N", 1)).toThrow('N is "0" but must be a number, 1 or more');
  });
});
