import { Hono, type MiddlewareHandler } from "hono";
import type { AccessRefusal } from "../access/authenticator.ts";
import type { Operator } from "../access/operator-tokens.ts";
import { reasonOf } from "../core/ports/errors.ts";
import type { ClientsAddress } from "./clients-address.ts";
import type { ConsoleOptions } from "./console-page.ts";
import { consoleRoutes } from "./console-routes.ts";
import { readCredentials } from "./credentials.ts";
import { Guard, type GuardOptions, type GuardParts } from "./origin-guard.ts";
import { notAllowed, problem, refusedAccess, setChallenge } from "./problem.ts";
import { protocolRoutes } from "./protocol-routes.ts";
import { OPERATORS_PATHS, PUBLIC_PATHS } from "./public-paths.ts";
import { type RevokeParts, revokeRoute } from "./revoke.ts";
import { type StatusReport, statusRoutes } from "./status.ts";

export interface AdminOptions extends Pick<GuardOptions, "allowedHosts" | "host"> {
  /** The path of the WebSocket on the port of the clients. */
  readonly path: string;
  readonly requestTimeoutMs: number;
}

export interface AdminParts extends GuardParts, RevokeParts {
  readonly report: StatusReport;
  /** Finds out whose token it is; `undefined`: operators need none. */
  readonly operatorOf: ((token: string) => Promise<Operator | undefined>) | undefined;
  /** Where clients connect; `undefined` in a host's own server. */
  readonly clients: ClientsAddress | undefined;
  readonly console: ConsoleOptions;
}

/** Who operates where no token is needed: whoever can connect. */
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
  if (clients !== undefined) app.route("/", consoleRoutes(parts.console, clients));
  app.route("/", revokeRoute({ timeoutMs: options.requestTimeoutMs }, parts));
  for (const path of [...PUBLIC_PATHS, ...OPERATORS_PATHS]) {
    app.all(path, (c) => notAllowed(c, "GET, HEAD"));
  }
  app.all("/admin/revoke", (c) => notAllowed(c, "POST"));
  return app;
}

/** Lets nobody through but those whose role allows the request. Probes need no token. */
function operators({ operatorOf, addressOf, audit }: AdminParts): MiddlewareHandler<Env> {
  return async (c, next) => {
    const isProbe = PUBLIC_PATHS.some((path) => path === c.req.path);
    if (isProbe || operatorOf === undefined) {
      c.set("operator", ANYBODY);
      return await next();
    }
    setChallenge(c, CHALLENGE);
    const refuse = (refusal: AccessRefusal, sub?: string): Response => {
      audit.say(
        "operator_refused",
        "Refused {method} {path} to an operator at {address}: {reason}",
        {
          ...{ method: c.req.method, path: c.req.path, address: addressOf(c) },
          ...{ reason: refusal.message, sub },
        },
      );
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
