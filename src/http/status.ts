import { Hono } from "hono";
import type { Balance } from "../core/metering/ledger.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { FlowMetrics, HealthStatus, Metadata } from "../streamkit/contract.ts";

/** Whether traffic should be sent here, and if not, why. */
export interface Readiness {
  readonly ready: boolean;
  readonly reasons: readonly string[];
}

/** The facts about a gateway that these routes show. */
export interface StatusReport {
  meta(): Metadata;
  health(): HealthStatus;
  dataFlow(): FlowMetrics;
  readiness(): Readiness;
  /** The deliveries by state. */
  ledger(): Balance;
  /** The metrics in Prometheus' text format, and its content type. */
  metrics(): Promise<{ readonly contentType: string; readonly text: string }>;
  /** The JSON Schema of the configuration. */
  schema(): object;
}

/** Creates the routes of health, readiness, metrics and the schema. */
export function statusRoutes(report: StatusReport, clock: Pick<Clock, "soon">): Hono {
  const metrics = oncePerTurn(() => report.metrics(), clock);
  let schema: string | undefined;
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
      const { contentType, text } = await metrics();
      return c.text(text, 200, { "Content-Type": contentType });
    })
    .get("/schema.json", (c) => {
      c.header("Content-Type", "application/schema+json");
      schema ??= JSON.stringify(report.schema(), null, 2);
      return c.body(schema);
    });
}

/**
 * Shares one result among all requests of a turn of the event loop, so that many requests at once don't block the loop.
 */
function oncePerTurn<T>(make: () => Promise<T>, clock: Pick<Clock, "soon">): () => Promise<T> {
  let made: Promise<T> | undefined;
  const forget = (): void => {
    made = undefined;
  };
  return () => {
    if (made === undefined) {
      made = make();
      const forgetSoon = (): void => void clock.soon(forget);
      made.then(forgetSoon, forgetSoon);
    }
    return made;
  };
}
