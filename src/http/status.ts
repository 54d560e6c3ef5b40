import { Hono } from "hono";
import type { FlowMetrics, HealthStatus, Metadata } from "../component/contract.ts";
import type { Ledger } from "../core/meter.ts";

/** Whether traffic should be sent here, and if not, why. */
export interface Readiness {
  readonly ready: boolean;
  readonly reasons: readonly string[];
}

/** What the gateway can say of itself. */
export interface StatusReport {
  meta(): Metadata;
  health(): HealthStatus;
  dataFlow(): FlowMetrics;
  readiness(): Readiness;
  /** What became of every delivery. */
  ledger(): Ledger;
  /** The metrics in Prometheus' text format, and its content type. */
  metrics(): Promise<{ readonly contentType: string; readonly text: string }>;
  /** The JSON Schema of the configuration. */
  schema(): object;
}

/** Health, metrics and the schema: for machines that look after this one. */
export function statusRoutes(report: StatusReport): Hono {
  return new Hono()
    .get("/livez", (c) => c.json({ status: "ok" }))
    .get("/readyz", (c) => {
      const readiness = report.readiness();
      return c.json(readiness, readiness.ready ? 200 : 503);
    })
    .get("/healthz", (c) => {
      const health = report.health();
      const body = {
        meta: report.meta(),
        health,
        data_flow: report.dataFlow(),
        ledger: report.ledger(),
      };
      return c.json(body, health.healthy ? 200 : 503);
    })
    .get("/metrics", async (c) => {
      const { contentType, text } = await report.metrics();
      return c.text(text, 200, { "Content-Type": contentType });
    })
    .get("/schema.json", (c) => {
      c.header("Content-Type", "application/schema+json");
      return c.body(JSON.stringify(report.schema(), null, 2));
    });
}
