import { expect, test } from "bun:test";
import { startTelemetry } from "../../src/telemetry/otlp.ts";

const SERVICE = { version: "1", runtime: "bun", runtimeVersion: "1", pid: 1 };

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
