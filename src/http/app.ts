import { Hono } from "hono";
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
import type { ConsoleOptions } from "./console-page.ts";
import { consoleRoutes } from "./console-routes.ts";
import { Guard, type GuardOptions, type GuardParts } from "./origin-guard.ts";
import { notAllowed, problem } from "./problem.ts";
import { protocolRoutes } from "./protocol-routes.ts";
import { notPublic, OPERATORS_PATHS, PUBLIC_PATHS } from "./public-paths.ts";
import { publishRoutes } from "./publish.ts";
import { type StatusReport, statusRoutes } from "./status.ts";

export interface AppOptions
  extends StreamOptions,
    Omit<GuardOptions, "eventsPath" | "takesCredentials">,
    AdmissionOptions,
    AddressOptions {
  /** What clients may have. */
  readonly subjects: readonly string[];
  readonly maxPublishBytes: number;
  readonly startFrom: string;
  readonly deliveryMode: DeliveryMode;
  readonly requestTimeoutMs: number;
  /** Whether it is part of a host's own app, whose other paths are none of ours. */
  readonly mounted: boolean;
}

export interface AppParts extends Omit<StreamParts, "grantOf" | "tokenCheckOf">, GuardParts {
  readonly access: HttpAccess;
  readonly meter: Meter;
  readonly report: StatusReport;
  /** Whether messages may be posted. */
  readonly takesPosts: boolean;
}

/** With a subject, and where somebody forgot it. */
const PUBLISH = ["/publish/:subject", "/publish/"];

/** The whole HTTP surface, as an app that a host mounts with `route()`. */
export function createApp(options: AppOptions, given: AppParts): Hono {
  const parts = { ...given, sockets: behindProxies(given.sockets, options) };
  const app = new Hono();
  app.onError((error, c) => {
    parts.log.error("Request to {path} failed: {reason}", {
      path: c.req.path,
      reason: reasonOf(error),
      error,
    });
    // Whoever mounts the gateway may have configured no log to read it in.
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
  const guard = new Guard({ ...options, eventsPath: events, takesCredentials }, parts);
  const admission = new Admission(options, { ...parts, guard });
  const clients: Pick<StreamParts, "grantOf" | "tokenCheckOf"> = {
    grantOf: (c, mayShowTokenLater) => admission.grantOf(c, mayShowTokenLater),
    tokenCheckOf: (c) => admission.tokenCheckOf(c),
  };
  const routes = gatewayRoutes(options, { ...parts, ...clients });
  const log = new AccessLog(parts);
  for (const stream of [options.path, events]) app.get(stream, countRefused(parts));
  const guarded = options.mounted ? new Set(routes.routes.map(({ path }) => path)) : ["*"];
  for (const path of guarded) {
    app.use(path, guard.handler);
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
  if (parts.takesPosts) {
    const { publishing } = parts.broadcaster;
    const limits = { ...options, maxBytes: options.maxPublishBytes };
    app.route("/", publishRoutes(limits, { ...parts, publishing }));
    for (const target of PUBLISH) app.all(target, (c) => notAllowed(c, "POST"));
  }
  const { path } = options;
  for (const target of PUBLISH) {
    app.post(target, (c) =>
      problem(c, 404, "Publishing is off: no client may publish to NATS, or publish is false"),
    );
  }
  app.route("/", consoleRoutes(consoleOptions(options, parts.takesPosts)));
  for (const path of [...PUBLIC_PATHS, ...OPERATORS_PATHS])
    app.all(path, (c) => notAllowed(c, "GET, HEAD"));
  for (const stream of [path, eventsPath(path)]) app.all(stream, (c) => notAllowed(c, "GET"));
  return app;
}

/** @param publish whether clients can publish by HTTP. */
export function consoleOptions(
  options: Pick<AppOptions, "path" | "subjects" | "startFrom" | "deliveryMode">,
  publish: boolean,
): ConsoleOptions {
  const { path, subjects, startFrom, deliveryMode } = options;
  return { path, subjects, startFrom, publish, acknowledges: deliveryMode === "at-least-once" };
}
