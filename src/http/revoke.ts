import { type Context, Hono } from "hono";
import type { AuditLog } from "../access/audit-log.ts";
import { parseTime } from "../access/credential-file.ts";
import type { Operator } from "../access/operator-tokens.ts";
import type { RevokeRequest } from "../access/revocation-entry.ts";
import { parseStrictJson } from "../access/strict-json.ts";
import type { Clock } from "../core/ports/clock.ts";
import { SpillwayError } from "../core/ports/errors.ts";
import { isObject } from "../protocol/schema.ts";
import { problem } from "./problem.ts";
import { readBody } from "./timely-body.ts";

export interface RevokeParts {
  /** See `Gateway.revoke`. */
  revoke(request: RevokeRequest): Promise<void>;
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
 * - `issued_before`: tokens that were issued later stay valid; a time as in RFC 3339, or in Unix seconds like `iat`. It must not be
 *   in the future. Default: now.
 *
 * The answer is 204 if all gateways were told, 400 if the body can't be used, 503 if NATS can't be told.
 */
export function revokeRoute({ timeoutMs }: { readonly timeoutMs: number }, parts: RevokeParts) {
  const limits = { maxBytes: MAX_BYTES, timeoutMs, name: "The body" };
  return new Hono<{ Variables: { operator: Operator } }>().post("/admin/revoke", async (c) => {
    const data = await readBody(c, limits, parts.clock);
    if (!(data instanceof Uint8Array)) return data.answer;
    const request = readRequest(data);
    if (typeof request === "string") return problem(c, 400, request);
    const { jti, sub: user, issuedBefore } = request;
    const fault = await parts.revoke(request).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (fault instanceof SpillwayError && fault.code === "REVOCATION_INVALID") {
      return problem(c, 400, fault.message);
    }
    const { sub } = c.get("operator");
    parts.audit.record("operator_revoked", {
      ...{ operator: sub, address: parts.addressOf(c) },
      ...{ jti, sub: user, issued_before: issuedBefore?.toISOString() },
    });
    if (fault === undefined) return c.body(null, 204);
    if (!(fault instanceof SpillwayError)) throw fault;
    return problem(c, 503, fault.message, { "Retry-After": "5" });
  });
}

/** Returns the request in a body, or what is wrong with it. */
function readRequest(data: Uint8Array): RevokeRequest | string {
  const json = parseStrictJson(new TextDecoder().decode(data));
  if ("fault" in json) return `The body can't be used: ${json.fault}`;
  const { value: body } = json;
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
