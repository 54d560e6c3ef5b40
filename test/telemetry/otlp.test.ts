import { expect, test } from "bun:test";
import { diag } from "@opentelemetry/api";
import { Counter } from "prom-client";
import { systemClock } from "../../src/runtime/clock.ts";
import { startTelemetry } from "../../src/telemetry/otlp.ts";

const SERVICE = { version: "1", runtime: "bun", runtimeVersion: "1", pid: 1 };

/** The packages read variables of the process. */
async function startWith(env: Record<string, string>) {
  Object.assign(process.env, env);
  try {
    return await startTelemetry(env, SERVICE);
  } finally {
    for (const name of Object.keys(env)) delete process.env[name];
  }
}

test.each([
  ["OTEL_BSP_MAX_EXPORT_BATCH_SIZE", { OTEL_TRACES_EXPORTER: "otlp" }],
  ["OTEL_BSP_MAX_QUEUE_SIZE", { OTEL_TRACES_EXPORTER: "otlp" }],
  ["OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", { OTEL_LOGS_EXPORTER: "otlp" }],
  ["OTEL_METRIC_EXPORT_INTERVAL", { OTEL_METRICS_EXPORTER: "otlp" }],
])("%s is not 0: the packages would never end, or say nothing of it", async (variable, asked) => {
  await expect(startTelemetry({ ...asked, [variable]: "0" }, SERVICE)).rejects.toMatchObject({
    code: "TELEMETRY_INVALID",
    message: `${variable} is "0" but must be a number, 1 or more`,
  });
});

test("A collector that never answers holds up a flush and the stop after it no longer than one of them", async () => {
  const collector = Bun.serve({ port: 0, fetch: () => new Promise<Response>(() => {}) });
  const telemetry = await startWith({
    OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: `${collector.url}v1/metrics`,
  });
  telemetry?.registry.registerMetric(new Counter({ name: "c", help: "c", registers: [] }));
  await telemetry?.flush();
  const stopped = telemetry?.stop().then(() => "stopped");
  expect(await Promise.race([stopped, Bun.sleep(1000).then(() => "late")])).toBe("stopped");
  await collector.stop(true);
});

test("The log has the reason of an error without its stack, and what OpenTelemetry said before there was a log", async () => {
  const telemetry = await startWith({
    OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: "https://localhost:1/v1/logs",
    OTEL_EXPORTER_OTLP_CERTIFICATE: "/no/such.pem",
  });
  const reasons: unknown[] = [];
  const note = (_: string, properties?: Readonly<Record<string, unknown>>): void => {
    reasons.push(properties?.reason);
  };
  const log = { debug: note, info: note, warn: note, error: note };
  telemetry?.reportTo(log, systemClock);
  expect(reasons).toEqual([expect.stringContaining("root certificate")]);
  telemetry?.reportTo(log, systemClock);
  diag.error(JSON.stringify({ stack: "Error: refused\n  at x", message: "refused" }));
  expect(reasons[1]).toBe("refused");
  await telemetry?.stop();
});
