import { Hono } from "hono";
import type { Balance } from "../core/metering/ledger.ts";
import type { Clock } from "../core/ports/clock.ts";

/** Whether traffic should be sent here, and if not, why. */
export interface Readiness {
  readonly ready: boolean;
  readonly reasons: readonly string[];
}

/** The `meta` of `/healthz`. These three parts have the JSON names and units of StreamKit, whose tools read them. */
export interface Metadata {
  readonly name: string;
  readonly type: "output";
  readonly description: string;
  readonly version: string;
}

/** The `health` of `/healthz`. */
export interface Health {
  readonly healthy: boolean;
  /** The time of this check: now (RFC 3339). */
  readonly last_check: string;
  readonly error_count: number;
  readonly last_error?: string;
  /** Nanoseconds since the start, as a Go `time.Duration`: a whole number. 0 when stopped. */
  readonly uptime: number;
}

/** The `data_flow` of `/healthz`. */
export interface DataFlow {
  readonly messages_per_second: number;
  readonly bytes_per_second: number;
  /** In percent, 0 to 100. */
  readonly error_rate: number;
  /** RFC 3339. Before the first message it is Go's zero time, `0001-01-01T00:00:00Z`. */
  readonly last_activity: string;
}

/** The facts about a gateway that these routes show. */
export interface StatusReport {
  meta(): Metadata;
  health(): Health;
  dataFlow(): DataFlow;
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
