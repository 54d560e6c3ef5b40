import { type Context, Hono } from "hono";
import type { Meter } from "../core/metering/meter.ts";
import { reasonOf, SpillwayError } from "../core/ports/errors.ts";
import type { DeliveryMode } from "../protocol/fields.ts";
import { AccessLog } from "./access-log.ts";
import { Admission, type AdmissionOptions, type HttpAccess } from "./admission.ts";
import { type AddressOptions, behindProxies } from "./client-address.ts";
import {
  clientEndpoints,
  countRefused,
  eventsPath,
  type StreamOptions,
  type StreamParts,
} from "./client-endpoints.ts";
import { clientScriptRoute } from "./client-script.ts";
import type { ConsoleOptions } from "./console-page.ts";
import { consoleRoutes } from "./console-routes.ts";
import { made } from "./derive.ts";
import { Guard, type GuardOptions, type GuardParts } from "./origin-guard.ts";
import { notAllowed, problem } from "./problem.ts";
import { protocolRoutes } from "./protocol-routes.ts";
import { notPublic, OPERATORS_PATHS, PUBLIC_PATHS } from "./public-paths.ts";
import { type PublishParts, publishRoutes } from "./publish.ts";
import { type RequestTracer, traceRequests } from "./request-trace.ts";
import { type StatusReport, statusRoutes } from "./status.ts";

export interface AppOptions
  extends StreamOptions,
    Omit<GuardOptions, "eventsPath" | "takesCredentials">,
    AdmissionOptions,
    AddressOptions {
  /** The subjects that clients may receive. */
  readonly subjects: readonly string[];
  readonly maxPublishBytes: number;
  readonly maxPublishesPerSecond: number;
  readonly deliveryMode: DeliveryMode;
  readonly requestTimeoutMs: number;
  /** Whether it is part of a host's own app, whose other paths are none of ours. */
  readonly mounted: boolean;
}

export interface AppParts extends Omit<StreamParts, "grantOf" | "tokenCheckOf">, GuardParts {
  readonly access: HttpAccess;
  readonly meter: Meter;
  readonly report: StatusReport;
  readonly accounts: StreamParts["accounts"] & PublishParts["publishing"];
  /** Whether messages may be posted. */
  takesPosts(): boolean;
  /** Records handshakes and posts; by default nobody does. */
  readonly tracer?: RequestTracer | undefined;
}

/** The path with a subject, and the one of a request that forgot it. */
const PUBLISH = ["/publish/:subject", "/publish/"];

/** The whole HTTP surface, as an app that a host mounts with `route()`. */
export function createApp(options: AppOptions, given: AppParts): Hono {
  const { derive = made } = given;
  const parts = { ...given, sockets: behindProxies(given.sockets, options, derive) };
  const app = new Hono();
  app.onError((error, c) => {
    parts.log.error("Request to {path} failed: {reason}", {
      path: c.req.path,
      reason: reasonOf(error),
      error,
    });
    // A host that mounts the gateway may have configured no log to read it in.
    const isHosts = error instanceof SpillwayError && error.code === "UPGRADE_UNSUPPORTED";
    return problem(
      c,
      500,
      isHosts ? error.message : "The server failed to answer; its log says why",
    );
  });
  app.notFound((c) => problem(c, 404, `Nothing is served at ${c.req.path}`));

  const events = eventsPath(options.path);
  const { access } = parts;
  const takesCredentials = access.isRequired;
  const guardNow = derive(
    () => new Guard({ ...options, eventsPath: events, takesCredentials }, parts),
  );
  const guard = { countsCookies: (c: Context) => guardNow().countsCookies(c) };
  const log = new AccessLog(parts);
  const admission = new Admission(options, { ...parts, guard, log });
  const clients: Pick<StreamParts, "grantOf" | "tokenCheckOf"> = {
    grantOf: (c, mayShowTokenLater) => admission.grantOf(c, mayShowTokenLater),
    tokenCheckOf: (c, grant) => admission.tokenCheckOf(c, grant),
  };
  const routes = gatewayRoutes(options, { ...parts, ...clients });
  const { tracer, sockets } = parts;
  if (tracer !== undefined) {
    for (const stream of [options.path, events]) {
      app.get(stream, traceRequests(stream, tracer, sockets));
    }
    for (const target of PUBLISH) app.post(target, traceRequests(target, tracer, sockets));
  }
  for (const stream of [options.path, events]) app.get(stream, countRefused(parts));
  const guarded = options.mounted ? new Set(routes.routes.map(({ path }) => path)) : ["*"];
  for (const path of guarded) {
    app.use(path, (c, next) => guardNow().handler(c, next));
    if (access.isRequired) app.use(path, log.handler);
  }
  return app.route("/", routes);
}

function gatewayRoutes(options: AppOptions, parts: AppParts & StreamParts): Hono {
  const app = new Hono();
  if (parts.access.isRequired) for (const path of OPERATORS_PATHS) app.all(path, notPublic);
  app.route("/", clientEndpoints(options, parts));
  app.route("/", statusRoutes(parts.report, parts.clock));
  app.route("/", protocolRoutes(options, parts.report));
  app.route("/", clientScriptRoute(parts.report.meta().version));
  const { access, accounts: publishing } = parts;
  const publishParts: PublishParts = {
    ...{ ...parts, publishing },
    refusalNow: (grant) => access.refusalNow(grant),
  };
  for (const target of PUBLISH) {
    app.use(target, async (c, next) => {
      if (parts.takesPosts() || c.req.method !== "POST") return await next();
      return problem(
        c,
        404,
        "Publishing is off: set publish_subjects, or give clients tokens that allow it; and publish must not be false",
      );
    });
  }
  app.route("/", publishRoutes(options, publishParts));
  for (const target of PUBLISH) {
    app.all(target, (c, next) => (parts.takesPosts() ? notAllowed(c, "POST") : next()));
  }
  const { path } = options;
  app.route(
    "/",
    consoleRoutes(() => consoleOptions(options, parts.takesPosts(), false)),
  );
  for (const path of [...PUBLIC_PATHS, ...OPERATORS_PATHS])
    app.all(path, (c) => notAllowed(c, "GET, HEAD"));
  for (const stream of [path, eventsPath(path)]) app.all(stream, (c) => notAllowed(c, "GET"));
  return app;
}

/**
 * @param publish whether clients can publish by HTTP.
 * @param takesToken whether clients show a token.
 */
export function consoleOptions(
  options: Pick<AppOptions, "path" | "subjects" | "deliveryMode">,
  publish: boolean,
  takesToken: boolean,
): ConsoleOptions {
  const { path, subjects, deliveryMode } = options;
  const acknowledges = deliveryMode === "at-least-once";
  return { path, subjects, publish, acknowledges, takesToken };
}
