import { isObject } from "../protocol/schema.ts";
import type { AccessRefusal, Identity } from "./authenticator.ts";
import { readPermissions } from "./authorization-details.ts";

/**
 * Name a client and list its permissions, in the shape of an access token's claims (RFC 9068, RFC 9396).
 *
 * ```json
 * { "sub": "u_42", "exp": 1790000000,
 *   "authorization_details": [{ "type": "spillway", "subjects": { "allow": ["orders.{sub}.>"] } }] }
 * ```
 */
export type Claims = Readonly<Record<string, unknown>>;

/** Makes an identity of claims; a refusal says which of them is wrong. Never throws. */
export type ReadClaims = (claims: Claims) => Identity | ClaimsRefusal;

/** The reason why claims are refused. */
export interface ClaimsRefusal extends AccessRefusal {
  /** The wrong claim and its rule, for others than the client: `"sub" must be …`. */
  readonly detail: string;
}

/** The longest `iss`, `sub` and `jti`. */
const MAX_NAME_LENGTH = 256;
const NAME_RULE = `must be a text of 1 to ${MAX_NAME_LENGTH} characters, without control characters`;
/** The latest time that a JavaScript date can have, in seconds. */
const MAX_SECONDS = 8.64e12;

// Names are keys of logs and of buckets in NATS. Half a surrogate pair has no UTF-8: different names would become one.
// biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern finds control characters
const NOT_IN_NAMES = /[\u0000-\u001f\u007f-\u009f]|\p{Surrogate}/u;

/**
 * Makes an identity of claims (RFC 7519 §4.1): `sub` names the client, `iss` names the issuer, `exp` and `iat` are seconds
 * since 1970, `jti` names the token, and `authorization_details` list the client's permissions.
 *
 * @param issuer the issuer of claims without `iss`.
 */
export function readClaims(claims: Claims, issuer: string): Identity | ClaimsRefusal {
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
  if ("kind" in permissions) {
    const detail = `"authorization_details" ${permissions.fault}`;
    return permissions.kind === "forbidden" ? forbidden(detail) : invalid(detail);
  }
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

function invalid(detail: string): ClaimsRefusal {
  return { kind: "unauthenticated", message: `The token can't be used: ${detail}`, detail };
}

function forbidden(detail: string): ClaimsRefusal {
  return { kind: "forbidden", message: `The token allows nothing here: its ${detail}`, detail };
}
