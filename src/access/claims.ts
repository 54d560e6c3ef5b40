import { isObject } from "../protocol/schema.ts";
import type { AccessRefusal, Identity } from "./authenticator.ts";
import { readPermissions } from "./authorization-details.ts";

/**
 * Who a client is and what it may do, in the shape of an access token's claims (RFC 9068, RFC 9396).
 *
 * ```json
 * { "sub": "u_42", "exp": 1790000000,
 *   "authorization_details": [{ "type": "spillway", "subjects": { "allow": ["orders.{sub}.>"] } }] }
 * ```
 */
export type Claims = Readonly<Record<string, unknown>>;

/** Makes an identity of claims; a refusal says which of them is wrong. Never throws. */
export type ReadClaims = (claims: Claims) => Identity | AccessRefusal;

/** The longest `iss`, `sub` and `jti`. */
const MAX_NAME_LENGTH = 256;
const NAME_RULE = `must be a text of 1 to ${MAX_NAME_LENGTH} characters, without control characters`;
/** The latest time that a JavaScript date can have, in seconds. */
const MAX_SECONDS = 8.64e12;

// Names are keys of logs and of buckets in NATS. Half a surrogate pair has no UTF-8: different names would become one.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const NOT_IN_NAMES = /[\u0000-\u001f\u007f-\u009f]|\p{Surrogate}/u;

/**
 * Makes an identity of claims (RFC 7519 §4.1): `sub` is who the client is, `iss` who says so, `exp` and `iat` are seconds
 * since 1970, `jti` names the token, and `authorization_details` say what the client may do.
 *
 * @param issuer who says so, if there is no `iss`.
 */
export function readClaims(claims: Claims, issuer: string): Identity | AccessRefusal {
  if (!isObject(claims)) return invalid("the claims must be an object");
  const { iss = issuer, sub, jti, exp, iat } = claims;
  if (!isName(iss)) return invalid(`"iss" ${NAME_RULE}`);
  if (!isName(sub)) return invalid(`"sub" ${NAME_RULE}`);
  if (jti !== undefined && !isName(jti)) return invalid(`"jti" ${NAME_RULE}`);
  for (const [name, seconds] of Object.entries({ exp, iat })) {
    if (seconds !== undefined && !isTime(seconds)) {
      return invalid(`"${name}" must be a time in seconds since 1970`);
    }
  }
  const permissions = readPermissions(claims);
  if ("kind" in permissions) return permissions;
  return {
    principal: { issuer: iss, sub },
    permissions,
    tokenId: jti,
    issuedAtMs: milliseconds(iat),
    expiresAtMs: milliseconds(exp),
  };
}

function isName(value: unknown): value is string {
  return (
    typeof value === "string" &&
    value.length > 0 &&
    value.length <= MAX_NAME_LENGTH &&
    !NOT_IN_NAMES.test(value)
  );
}

function isTime(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= MAX_SECONDS;
}

function milliseconds(seconds: unknown): number | undefined {
  return typeof seconds === "number" ? seconds * 1000 : undefined;
}

function invalid(reason: string): AccessRefusal {
  return { kind: "unauthenticated", message: `The token can't be used: ${reason}` };
}
