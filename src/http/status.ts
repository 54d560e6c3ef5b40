import { Hono } from "hono";
import type { Balance } from "../core/metering/ledger.ts";
import type { Clock } from "../core/ports/clock.ts";
import type { ClientLag, ClientLags } from "../core/sessions/client-lags.ts";

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

/** The `lag` of `/healthz`: as `stats().clients.lag`, without addresses, which are not for everybody who can read this. */
export interface LagStatus extends Omit<ClientLags, "furthest"> {
  readonly furthest: readonly Omit<ClientLag, "address">[];
}

/** The `presence` of `/healthz`. */
export interface PresenceStatus {
  /** The connections of all gateways that count. */
  readonly connections: number;
  /** The number of subjects that clients of this gateway watch, each counted as often as it is watched. */
  readonly watches: number;
  /** Whether the bucket can't be read or written now, or loses entries too soon. */
  readonly stale: boolean;
  /** The reason why the bucket can't be read, or loses entries too soon. */
  readonly problem?: string;
}

/** The `revocation` of `/healthz`. */
export interface RevocationStatus {
  /** The reason why the bucket can't be read, or loses entries too soon. */
  readonly problem?: string;
}

/** The `source` of `/healthz`. */
export interface SourceConnection {
  /** `"NATS"`, `"the embedded source"`, or the name of the host's own source. */
  readonly name: string;
  readonly connected: boolean;
}

/** An element of the `accounts` of `/healthz`. */
export interface AccountStatus {
  readonly status: { readonly state: string };
  readonly sessions: number;
}

/** An element of the `workers` of `/healthz`. */
export interface WorkerStatus {
  readonly worker: number;
  readonly pid?: number;
  /**
   * `"draining"`: it was told to end, and another one listens in its place. `"silent"`: it doesn't answer. `"failing"`: it ends soon
   * after each start.
   */
  readonly state: "starting" | "serving" | "draining" | "silent" | "failing";
}

/** The answer of `/healthz`. */
export interface Status {
  readonly meta: Metadata;
  readonly health: Health;
  readonly data_flow: DataFlow;
  /** The deliveries by state. */
  readonly ledger: Balance;
  readonly lag: LagStatus;
  readonly source: SourceConnection;
  /** The open accounts by name; absent if none is configured. */
  readonly accounts?: Readonly<Record<string, AccountStatus>> | undefined;
  /** Absent if presence is off. */
  readonly presence?: PresenceStatus | undefined;
  /** Absent if there is no bucket of revoked tokens. */
  readonly revocation?: RevocationStatus | undefined;
  /** The processes of a gateway that runs in several; absent if there is only one. */
  readonly workers?: readonly WorkerStatus[];
}

/** The metrics in Prometheus' text format, and its content type. */
export interface MetricsPage {
  readonly contentType: string;
  readonly text: string;
}

/** The facts about a gateway that these routes show. */
export interface StatusReport {
  meta(): Metadata;
  readiness(): Readiness | Promise<Readiness>;
  status(): Status | Promise<Status>;
  metrics(): Promise<MetricsPage>;
  /** The configuration that is in effect, as written in a file, without secrets. */
  config(): object;
  /** The JSON Schema of the configuration. */
  schema(): object;
}

/** Creates the routes of health, readiness, metrics and the schema. */
export function statusRoutes(report: StatusReport, clock: Pick<Clock, "soon">): Hono {
  const metrics = oncePerTurn(() => report.metrics(), clock);
  const status = oncePerTurn(async () => report.status(), clock);
  const ready = oncePerTurn(async () => report.readiness(), clock);
  let schema: string | undefined;
  return new Hono()
    .get("/livez", (c) => c.json({ status: "ok" }))
    .get("/readyz", async (c) => {
      const readiness = await ready();
      return c.json(readiness, readiness.ready ? 200 : 503);
    })
    .get("/healthz", async (c) => {
      const body = await status();
      return c.json(body, body.health.healthy ? 200 : 503);
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

/** Returns the lag of clients without what is not for everybody. */
export function withoutAddresses({ furthest, ...all }: ClientLags): LagStatus {
  return { ...all, furthest: furthest.map(({ id, seconds, bytes }) => ({ id, seconds, bytes })) };
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
