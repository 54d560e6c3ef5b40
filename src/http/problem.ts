import type { Context } from "hono";
import type { AccessRefusal } from "../access/authenticator.ts";
import type { Grant } from "../core/access/grant.ts";
import type { DeniedRequest } from "../core/ports/observer.ts";

/** The titles of the statuses that are used here (RFC 9110 §15). */
const TITLES = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  409: "Conflict",
  413: "Content Too Large",
  422: "Unprocessable Content",
  426: "Upgrade Required",
  429: "Too Many Requests",
  500: "Internal Server Error",
  503: "Service Unavailable",
  504: "Gateway Timeout",
} as const;

/** A status with which a request is refused. */
export type RefusalStatus = keyof typeof TITLES;

const REFUSAL = "spillwayRefusal";

/** Returns why a request was refused, for logs; `undefined` if it wasn't. */
export function refusalOf(c: Context): string | undefined {
  return c.get(REFUSAL);
}

/** Begins a reason with a capital letter. */
export function capitalized(reason: string): string {
  return reason.charAt(0).toUpperCase() + reason.slice(1);
}

/** Returns a refusal as `application/problem+json` (RFC 9457). `detail` says what to do. */
export function problem(
  c: Context,
  status: RefusalStatus,
  detail: string,
  headers: Record<string, string> = {},
): Response {
  c.set(REFUSAL, detail);
  const body = { type: "about:blank", title: TITLES[status], status, detail };
  return c.body(JSON.stringify(body), status, {
    ...headers,
    "Content-Type": "application/problem+json",
  });
}

/** Answers a method that a path doesn't have. */
export function notAllowed(c: Context, allow: string): Response {
  return problem(c, 405, `${c.req.method} is not allowed here`, { Allow: allow });
}

const ACCESS_REFUSAL = "spillwayAccessRefusal";
const CHALLENGE = "spillwayChallenge";

/** Returns why the client of a request was not let in; `undefined` if it was. */
export function accessRefusalOf(c: Context): AccessRefusal | undefined {
  return c.get(ACCESS_REFUSAL);
}

/** Notes how the client of a request can show who it is, for a 401. Default: `Bearer`. */
export function setChallenge(c: Context, challenge: string): void {
  c.set(CHALLENGE, challenge);
}

/** The shortest time after which a request may be tried again that can't be decided now. */
const SOONEST_RETRY_SECONDS = 5;

/**
 * Answers a client that is not let in: 401 says how to show who it is (RFC 9110 §11.6.1, RFC 6750 §3).
 *
 * @param retrySeconds asked if it may try again later. Default: {@linkcode SOONEST_RETRY_SECONDS}.
 */
export function refusedAccess(
  c: Context,
  refusal: AccessRefusal,
  retrySeconds: () => number = () => SOONEST_RETRY_SECONDS,
): Response {
  const { kind, message } = refusal;
  c.set(ACCESS_REFUSAL, refusal);
  switch (kind) {
    case "malformed":
      return problem(c, 400, message);
    case "forbidden":
      return problem(c, 403, message);
    case "unavailable":
      return problem(c, 503, message, { "Retry-After": `${retrySeconds()}` });
    case "unauthenticated":
      return problem(c, 401, message, { "WWW-Authenticate": c.get(CHALLENGE) ?? "Bearer" });
  }
}

/** A request of a known client that its grant doesn't allow. */
export interface Denial extends DeniedRequest {
  readonly grant: Grant;
}

const DENIAL = "spillwayDenial";

/** Returns what the client of a request may not do; `undefined`: it was not refused, or because of who it is. */
export function denialOf(c: Context): Denial | undefined {
  return c.get(DENIAL);
}

/** Answers a client whose grant doesn't allow its request. */
export function denied(c: Context, denial: Denial): Response {
  c.set(DENIAL, denial);
  return refusedAccess(c, { kind: "forbidden", message: capitalized(denial.reason) });
}
