import { isObject } from "../protocol/schema.ts";
import { fromBase64url, toBase64url } from "./base64url.ts";

/** Which tokens are revoked: those of a name, that were issued before a time. */
export interface RevocationEntry {
  /** `"jti"`: the token of this `jti` (RFC 7519 §4.1.7). `"sub"`: all tokens of this `sub`, whoever issued them. */
  readonly claim: "jti" | "sub";
  readonly value: string;
  /** In Unix milliseconds. */
  readonly issuedBeforeMs: number;
}

/** The tokens to revoke: exactly one of `jti` and `sub` is set. */
export interface RevokeRequest {
  /** The token of this `jti`. */
  readonly jti?: string | undefined;
  /** All tokens of this `sub`, whoever issued them. */
  readonly sub?: string | undefined;
  /** Tokens that were issued later stay valid. It must not be in the future. Default: now. */
  readonly issuedBefore?: Date | undefined;
}

/** `<claim>.<value>`, the value in base64url: keys of NATS may have only some characters (ADR-8). */
const KEY = /^(jti|sub)\.([A-Za-z0-9_-]+)$/;

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Writes the key of an entry. */
export function revocationKey({ claim, value }: Pick<RevocationEntry, "claim" | "value">): string {
  return `${claim}.${toBase64url(new TextEncoder().encode(value))}`;
}

/** Writes the value of an entry; `issued_before` is in seconds, like the `iat` of a token. */
export function revocationValue({
  issuedBeforeMs,
}: Pick<RevocationEntry, "issuedBeforeMs">): string {
  return JSON.stringify({ issued_before: issuedBeforeMs / 1000 });
}

/** Reads a key; `undefined` if it is none. */
export function readRevocationKey(
  key: string,
): Pick<RevocationEntry, "claim" | "value"> | undefined {
  const [, claim, encoded] = KEY.exec(key) ?? [];
  if (encoded === undefined) return undefined;
  try {
    const value = utf8.decode(fromBase64url(encoded));
    return { claim: claim as RevocationEntry["claim"], value };
  } catch {
    return undefined;
  }
}

/**
 * Reads `issued_before` from a value, in Unix milliseconds. If it has none that can be read, everything that was issued
 * before the entry was made is revoked: a mistake must not leave a token valid.
 *
 * @param madeMs when the entry was made, in Unix milliseconds.
 */
export function readIssuedBefore(data: Uint8Array, madeMs: number): number {
  try {
    const value: unknown = JSON.parse(utf8.decode(data));
    const seconds = isObject(value) ? value.issued_before : undefined;
    if (typeof seconds === "number" && Number.isFinite(seconds)) return seconds * 1000;
  } catch {
    // As if there were none.
  }
  return madeMs;
}
