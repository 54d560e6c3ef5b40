import { type Context, Hono } from "hono";
import { parseTime } from "../access/credential-file.ts";
import type { Operator } from "../access/operator-tokens.ts";
import type { AuditLog } from "../core/ports/audit.ts";
import type { Clock } from "../core/ports/clock.ts";
import { SpillwayError } from "../core/ports/errors.ts";
import { isObject } from "../protocol/schema.ts";
import { problem } from "./problem.ts";
import { readBody, timelyBody } from "./timely-body.ts";

/** What an operator asks to revoke. */
export interface RevokeOrder {
  readonly jti?: string | undefined;
  readonly sub?: string | undefined;
  readonly issuedBefore?: Date | undefined;
}

export interface RevokeParts {
  /** See `Gateway.revoke`. */
  revoke(order: RevokeOrder): Promise<void>;
  readonly clock: Clock;
  readonly audit: AuditLog;
  /** Returns the address of a request's peer. */
  addressOf(c: Context): string;
}

/** The longest body, in bytes. */
const MAX_BYTES = 8192;
const FIELDS: readonly string[] = ["jti", "sub", "issued_before"];

/**
 * `POST /admin/revoke` revokes tokens. The body is a JSON object:
 *
 * - `jti` or `sub`: which tokens, by their id or by their user; exactly one of them.
 * - `issued_before`: tokens that were issued later stay valid; a time as in RFC 3339, or in Unix seconds like `iat`. Default: now.
 *
 * The answer is 204 if all gateways were told, 400 if the body can't be used, 503 if NATS can't be told.
 */
export function revokeRoute({ timeoutMs }: { readonly timeoutMs: number }, parts: RevokeParts) {
  const limits = timelyBody({ maxBytes: MAX_BYTES, timeoutMs, name: "The body" }, parts.clock);
  return new Hono<{ Variables: { operator: Operator } }>().post(
    "/admin/revoke",
    ...limits,
    async (c) => {
      const data = await readBody(c);
      if (data instanceof Response) return data;
      const order = readOrder(data);
      if (typeof order === "string") return problem(c, 400, order);
      const { jti, sub: user, issuedBefore } = order;
      const fault = await parts.revoke(order).then(
        () => undefined,
        (error: unknown) => error,
      );
      if (fault instanceof SpillwayError && fault.code === "REVOCATION_INVALID") {
        return problem(c, 400, fault.message);
      }
      const { sub } = c.get("operator");
      parts.audit.say("revoked", "The operator {operator} at {address} revoked tokens", {
        ...{ operator: sub || "without a token", address: parts.addressOf(c) },
        ...{ jti, sub: user, issued_before: issuedBefore?.toISOString() },
      });
      if (fault === undefined) return c.body(null, 204);
      if (!(fault instanceof SpillwayError)) throw fault;
      return problem(c, 503, fault.message, { "Retry-After": "5" });
    },
  );
}

/** Returns the order in a body, or what is wrong with it. */
function readOrder(data: Uint8Array): RevokeOrder | string {
  let body: unknown;
  try {
    body = JSON.parse(new TextDecoder().decode(data));
  } catch {
    return "The body must be JSON";
  }
  if (!isObject(body)) return "The body must be a JSON object";
  const unknown = Object.keys(body).find((name) => !FIELDS.includes(name));
  if (unknown !== undefined) return `${JSON.stringify(unknown.slice(0, 64))} is not a known field`;
  const { jti, sub, issued_before } = body;
  const issuedBefore = issued_before === undefined ? undefined : readTime(issued_before);
  if (issuedBefore === null) {
    return '"issued_before" must be a time like "2027-01-31T00:00:00Z", or Unix seconds';
  }
  // Other types than texts are refused by `revoke`.
  return { jti: jti as string | undefined, sub: sub as string | undefined, issuedBefore };
}

function readTime(value: unknown): Date | null {
  const time = new Date(
    typeof value === "number" ? value * 1000 : (parseTime(value) ?? Number.NaN),
  );
  return Number.isNaN(time.getTime()) ? null : time;
}
