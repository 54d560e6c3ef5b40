import { Hono } from "hono";
import { secureHeaders } from "hono/secure-headers";
import { reasonOf } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { Publisher } from "../core/source.ts";
import { consolePage } from "./console-page.ts";
import { problem } from "./problem.ts";
import { publishRoutes } from "./publish.ts";
import { type StatusReport, statusRoutes } from "./status.ts";
import { type StreamOptions, type StreamParts, streamRoutes } from "./stream.ts";

export interface AppOptions extends StreamOptions {
  readonly maxPublishBytes: number;
}

export interface AppParts extends StreamParts {
  readonly report: StatusReport;
  /** Takes what is posted; absent where posting is off. */
  readonly publisher: Publisher | undefined;
  readonly log: Log;
}

/** The whole HTTP surface, as an app that a host mounts with `route()`. */
export function createApp(options: AppOptions, parts: AppParts): Hono {
  const app = new Hono();
  app.onError((error, c) => {
    parts.log.error("Request to {path} failed: {reason}", {
      path: c.req.path,
      reason: reasonOf(error),
      error,
    });
    return problem(c, 500, "The server failed to answer; its log says why");
  });
  app.notFound((c) => problem(c, 404, `Nothing is served at ${c.req.path}`));

  app.route("/", streamRoutes(options, parts));
  app.route("/", statusRoutes(parts.report));
  const served = [options.path, "/livez", "/readyz", "/healthz", "/metrics", "/schema.json", "/"];
  if (parts.publisher !== undefined) {
    const { subjects, allowedOrigins, maxPublishBytes: maxBytes } = options;
    app.route("/", publishRoutes({ subjects, allowedOrigins, maxBytes }, parts.publisher));
    app.all("/publish/:subject", (c) => notAllowed(c, "POST"));
  }
  app.get("/", secureHeaders(), (c) => c.html(consolePage({ path: options.path, publish: parts.publisher !== undefined })));
  for (const path of served) app.all(path, (c) => notAllowed(c, "GET, HEAD"));
  return app;
}

function notAllowed(c: Parameters<typeof problem>[0], allow: string): Response {
  return problem(c, 405, `${c.req.method} is not allowed here`, { Allow: allow });
}
