import { Hono, type MiddlewareHandler } from "hono";
import type { AccessRefusal } from "../access/authenticator.ts";
import type { Operator } from "../access/operator-tokens.ts";
import { reasonOf } from "../core/ports/errors.ts";
import { clientScriptRoute } from "./client-script.ts";
import type { ClientUrl } from "./client-url.ts";
import type { ConsoleOptions } from "./console-page.ts";
import { consoleRoutes } from "./console-routes.ts";
import { readCredentials } from "./credentials.ts";
import { type DrainParts, drainRoute } from "./drain.ts";
import { Guard, type GuardOptions, type GuardParts } from "./origin-guard.ts";
import { notAllowed, problem, refusedAccess, setChallenge } from "./problem.ts";
import { protocolRoutes } from "./protocol-routes.ts";
import { OPERATORS_PATHS, PUBLIC_PATHS } from "./public-paths.ts";
import { type ReloadParts, reloadRoute } from "./reload.ts";
import { type RevokeParts, revokeRoute } from "./revoke.ts";
import { type StatusReport, statusRoutes } from "./status.ts";

export interface AdminOptions extends Pick<GuardOptions, "allowedHosts" | "host"> {
  /** The path of the WebSocket on the port of the clients. */
  readonly path: string;
  readonly requestTimeoutMs: number;
}

export interface AdminParts extends GuardParts, RevokeParts, DrainParts, ReloadParts {
  readonly report: StatusReport;
  /** Finds out whose token it is; `undefined`: operators need none. */
  readonly operatorOf: ((token: string) => Promise<Operator | undefined>) | undefined;
  /** The URL at which clients connect; `undefined` in a host's own server. */
  readonly clients: ClientUrl | undefined;
  readonly console: ConsoleOptions;
}

/** The operator if no token is needed: anybody who can connect. */
const ANYBODY: Operator = { sub: "", role: "operator" };

/** A browser asks its user for the password, which is the token. */
const CHALLENGE = 'Bearer realm="Spillway admin", Basic realm="Spillway admin", charset="UTF-8"';

const UNKNOWN: AccessRefusal = {
  kind: "unauthenticated",
  message:
    "Operators need a token: show it as Authorization: Bearer, or as the password of HTTP Basic",
};

const VIEWER: AccessRefusal = { kind: "forbidden", message: "A viewer may only read" };

interface Env {
  Variables: { operator: Operator };
}

/** The pages and the API for operators, which have a listener of their own. */
export function createAdminApp(options: AdminOptions, parts: AdminParts): Hono<Env> {
  const { log, clock, report, clients } = parts;
  const app = new Hono<Env>();
  app.onError((error, c) => {
    log.error("Request to {path} failed: {reason}", {
      path: c.req.path,
      reason: reasonOf(error),
      error,
    });
    return problem(c, 500, "The server failed to answer; its log says why");
  });
  app.notFound((c) => problem(c, 404, `Nothing is served at ${c.req.path}`));

  // Pages of other origins have no business here, whatever they may do on the port of the clients.
  const allowedHosts = options.allowedHosts.filter((name) => name !== "*");
  const guard = new Guard(
    {
      ...options,
      allowedHosts,
      allowedOrigins: [],
      takesCredentials: false,
      eventsPath: "/ws/sse",
    },
    parts,
  );
  app.use("*", guard.handler);
  app.use("*", operators(parts));
  app.route("/", statusRoutes(report, clock));
  app.route("/", protocolRoutes({ path: options.path, clients }, report));
  app.route("/", clientScriptRoute(report.meta().version));
  if (clients !== undefined)
    app.route(
      "/",
      consoleRoutes(() => parts.console, clients),
    );
  app.route("/", revokeRoute({ timeoutMs: options.requestTimeoutMs }, parts));
  app.route("/", drainRoute(parts));
  app.route("/", reloadRoute(parts));
  app.get("/admin/config", (c) => c.json(report.config()));
  app.all("/admin/config", (c) => notAllowed(c, "GET, HEAD"));
  for (const path of [...PUBLIC_PATHS, ...OPERATORS_PATHS]) {
    app.all(path, (c) => notAllowed(c, "GET, HEAD"));
  }
  for (const path of ["/admin/revoke", "/admin/drain", "/admin/reload"]) {
    app.all(path, (c) => notAllowed(c, "POST"));
  }
  return app;
}

/** Lets nobody through but those whose role allows the request. {@linkcode PUBLIC_PATHS} need no token. */
function operators({ operatorOf, addressOf, audit }: AdminParts): MiddlewareHandler<Env> {
  return async (c, next) => {
    const isPublic = PUBLIC_PATHS.some((path) => path === c.req.path);
    if (isPublic || operatorOf === undefined) {
      c.set("operator", ANYBODY);
      return await next();
    }
    setChallenge(c, CHALLENGE);
    const refuse = (refusal: AccessRefusal, operator?: string): Response => {
      audit.record("operator_refused", {
        ...{ operator, address: addressOf(c), reason: refusal.message },
        ...{ method: c.req.method, path: c.req.path },
      });
      return refusedAccess(c, refusal);
    };
    const shown = readCredentials(
      { headers: onlyAuthorization(c.req.raw.headers), queryTokens: [] },
      { allowQueryToken: false },
    );
    if ("message" in shown) return refuse(shown);
    const token =
      shown.kind === "token" ? shown.token : shown.kind === "basic" ? shown.password : "";
    const operator = await operatorOf(token);
    if (operator === undefined) return refuse(UNKNOWN);
    const reads = c.req.method === "GET" || c.req.method === "HEAD";
    if (!reads && operator.role !== "operator") return refuse(VIEWER, operator.sub);
    c.set("operator", operator);
    return await next();
  };
}

function onlyAuthorization(headers: Headers): Headers {
  const authorization = headers.get("authorization");
  return new Headers(authorization === null ? {} : { authorization });
}
