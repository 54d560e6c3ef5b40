import { errors, type JWTPayload, jwtVerify } from "jose";
import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import { isObject } from "../protocol/schema.ts";
import { isAlgorithm, isSymmetric } from "./algorithms.ts";
import {
  type AccessRefusal,
  type AccessRequest,
  type Authenticator,
  type Identity,
  isRefusal,
} from "./authenticator.ts";
import { fromBase64url } from "./base64url.ts";
import { readClaims } from "./claims.ts";
import { FileKeys } from "./file-keys.ts";
import type { KeySource } from "./key-source.ts";
import { RemoteKeys } from "./remote-keys.ts";
import { parseStrictJson } from "./strict-json.ts";
import type { FileReader } from "./watched-files.ts";

/** An issuer of JSON Web Tokens. */
export interface IssuerOptions {
  /** The claim `iss` of its tokens, exactly. */
  readonly issuer: string;
  /** The names of this gateway: a token's `aud` has one of them. */
  readonly audience: readonly string[];
  /** The URL of its JSON Web Key Set, or a file with keys; see `VerificationKeys.parse`. */
  readonly keys: { readonly url: string } | { readonly file: FileReader };
  /** The signature algorithms of its tokens: public ones (RS, PS, ES, EdDSA), or with a file only, HS ones. */
  readonly algorithms: readonly string[];
  /** The values of `typ` of its tokens. A token without `typ` counts as `"JWT"`. */
  readonly types: readonly string[];
  /** The longest time from a token's `iat` to its `exp`. */
  readonly maxTokenAgeMs: number;
}

export interface JwtOptions {
  /** Each with another `issuer`. */
  readonly issuers: readonly IssuerOptions[];
  /** The maximum difference between the clocks of issuers and ours. A token counts for that long after its `exp`. */
  readonly clockToleranceMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

interface Issuer extends IssuerOptions {
  readonly source: KeySource;
}

/** A token before its signature is checked. */
interface UncheckedToken {
  readonly text: string;
  readonly header: Readonly<Record<string, unknown>>;
  /** Says why the token can't be read; `undefined` if it can. */
  readonly fault: string | undefined;
}

const MAX_LENGTH = 8192;
const MAX_KID_LENGTH = 256;
/** A signed token in its compact form (RFC 7515 §7.1): three parts in base64url, of which the last may be missing. */
const COMPACT = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*$/;
/**
 * Headers that bring keys or URLs of their own, or that change how a token is read (RFC 7515 §4.1, RFC 7797 §3). A
 * token with one of them is refused.
 */
const REFUSED_HEADERS = ["jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc"] as const;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const UNKNOWN_ISSUER: AccessRefusal = refused("is of an issuer that isn't accepted any more");
const KEYS_UNAVAILABLE: AccessRefusal = {
  kind: "unavailable",
  message: "The token can't be checked now: the keys of its issuer can't be loaded",
};

/**
 * Knows clients by JSON Web Tokens (RFC 7519, RFC 8725, RFC 9068). The claim `iss` chooses among the configured issuers;
 * a token of another issuer, or that isn't such a token, is left to other authenticators.
 */
export class JwtAuthenticator implements Authenticator {
  readonly name = "jwt";
  readonly #issuers: ReadonlyMap<string, Issuer>;
  readonly #toleranceMs: number;
  readonly #clock: Clock;

  private constructor(issuers: readonly Issuer[], { clock, clockToleranceMs }: JwtOptions) {
    this.#issuers = new Map(issuers.map((issuer) => [issuer.issuer, issuer]));
    this.#toleranceMs = clockToleranceMs;
    this.#clock = clock;
  }

  /**
   * Reads the issuers' files.
   *
   * @param before has loaded the keys of some URLs already.
   * @throws FileFault if a file can't be read or used.
   * @throws RangeError if two issuers have the same name, or an issuer has algorithms that can't be used together.
   */
  static async open(options: JwtOptions, before?: JwtAuthenticator): Promise<JwtAuthenticator> {
    expectSafe(options.issuers);
    const issuers: Issuer[] = [];
    for (const issuer of options.issuers) {
      const source = before?.loadedKeysOf(issuer) ?? (await openKeys(issuer, options));
      issuers.push({ ...issuer, source });
    }
    return new JwtAuthenticator(issuers, options);
  }

  async authenticate({
    credentials,
  }: AccessRequest): Promise<Identity | AccessRefusal | undefined> {
    if (credentials.kind !== "token") return undefined;
    const { token: text } = credentials;
    if (text.length > MAX_LENGTH) return refused(`has more than ${MAX_LENGTH} characters`);
    const [, headerPart, claimsPart] = COMPACT.exec(text) ?? [];
    const header = decoded(headerPart);
    const claims = decoded(claimsPart);
    if (header === undefined || claims === undefined) return undefined;
    const { iss } = claims.value;
    // Nothing of the token is proved yet: it only chooses whose keys must prove it.
    const issuer = typeof iss === "string" ? this.#issuers.get(iss) : undefined;
    if (issuer === undefined) return undefined;
    const fault = header.fault ?? claims.fault;
    return await this.#check({ text, header: header.value, fault }, issuer);
  }

  /**
   * Checks that the issuer is still there, and has the key that has proved the token. Without that key, the token has
   * expired: the client may come back with another one, as when keys are rotated.
   */
  recheck(identity: Identity): Identity | AccessRefusal {
    const { principal, credential = "", expiresAtMs = Number.POSITIVE_INFINITY } = identity;
    const issuer = this.#issuers.get(principal.issuer);
    if (issuer === undefined) return UNKNOWN_ISSUER;
    if (issuer.source.accepts(credential)) return identity;
    return { ...identity, expiresAtMs: Math.min(expiresAtMs, this.#clock.wallMs()) };
  }

  /** Begins to follow the files, and to load the keys at URLs, without waiting for them. */
  start(changed: () => void = () => {}): void {
    for (const { source } of this.#issuers.values()) source.start(changed);
  }

  stop(): void {
    for (const { source } of this.#issuers.values()) source.stop();
  }

  /** Returns the keys of an issuer, if they are at the same URL; they may be loaded already. */
  loadedKeysOf({ issuer, keys, algorithms }: IssuerOptions): KeySource | undefined {
    const known = this.#issuers.get(issuer);
    if (known === undefined || !("url" in keys) || !("url" in known.keys)) return undefined;
    const isSame = known.keys.url === keys.url && `${known.algorithms}` === `${algorithms}`;
    return isSame ? known.source : undefined;
  }

  async #check(token: UncheckedToken, issuer: Issuer): Promise<Identity | AccessRefusal> {
    const fault = faultBefore(token, issuer);
    if (fault !== undefined) return refused(fault);
    const { alg, kid } = token.header as { alg: string; kid?: string };
    const keys = await issuer.source.find(alg, kid);
    if (keys === "unavailable") return KEYS_UNAVAILABLE;
    if (keys === "unknown") return refused("is signed with a key that its issuer doesn't have");
    for (const { key, id } of keys) {
      const result = await this.#verify(token.text, alg, key, issuer);
      if (result === "other key") continue;
      return isRefusal(result) ? result : { ...result, credential: id };
    }
    return refused("has a wrong signature");
  }

  /** Checks the signature, and then the claims. */
  async #verify(
    text: string,
    alg: string,
    key: CryptoKey | Uint8Array,
    { issuer, audience, maxTokenAgeMs }: Issuer,
  ): Promise<Identity | AccessRefusal | "other key"> {
    const nowMs = this.#clock.wallMs();
    let claims: JWTPayload;
    try {
      const { payload } = await jwtVerify(text, key, {
        algorithms: [alg],
        issuer,
        audience: [...audience],
        requiredClaims: ["exp", "iat", "sub"],
        clockTolerance: this.#toleranceMs / 1000,
        currentDate: new Date(nowMs),
      });
      claims = payload;
    } catch (error) {
      return error instanceof errors.JWSSignatureVerificationFailed
        ? "other key"
        : refused(reasonFor(error));
    }
    const fault = this.#faultAfter(claims, nowMs, maxTokenAgeMs);
    if (fault !== undefined) return refused(fault);
    const identity = readClaims(claims, issuer);
    if (isRefusal(identity)) return identity;
    const { expiresAtMs = nowMs } = identity;
    return { ...identity, expiresAtMs: expiresAtMs + this.#toleranceMs };
  }

  /** Checks the claims that `jwtVerify` doesn't check. */
  #faultAfter(claims: JWTPayload, nowMs: number, maxTokenAgeMs: number): string | undefined {
    const { exp = Number.POSITIVE_INFINITY, iat = Number.NEGATIVE_INFINITY, cnf } = claims;
    // A revocation counts for tokens that were issued before it, so a later time of issue would evade it.
    if (iat * 1000 > nowMs + this.#toleranceMs) return "was issued in the future (iat)";
    if (!((exp - iat) * 1000 <= maxTokenAgeMs)) {
      return `is valid for more than ${maxTokenAgeMs / 1000} seconds (from iat to exp)`;
    }
    // RFC 7800 §3: the client would have to prove that it has the key.
    if (cnf !== undefined) return "is bound to a key (cnf), which can't be checked here";
    return undefined;
  }
}

/** Checks the parts of a token that need no key. */
function faultBefore({ header, fault }: UncheckedToken, issuer: Issuer): string | undefined {
  if (fault !== undefined) return `can't be read: ${fault}`;
  const { alg, kid, typ = "JWT" } = header;
  if (typeof alg !== "string" || !issuer.algorithms.includes(alg)) {
    return "is signed with an algorithm (alg) that its issuer must not use here";
  }
  const refusedHeader = REFUSED_HEADERS.find((name) => Object.hasOwn(header, name));
  if (refusedHeader !== undefined) return `has the header "${refusedHeader}", which isn't accepted`;
  if (typeof typ !== "string" || !issuer.types.map(mediaType).includes(mediaType(typ))) {
    return "is of a type (typ) that isn't accepted here";
  }
  if (kid !== undefined && (typeof kid !== "string" || kid.length > MAX_KID_LENGTH)) {
    return `has a key's name (kid) that isn't a text of at most ${MAX_KID_LENGTH} characters`;
  }
  return undefined;
}

/** Media types have no case, and `application/` may be left out (RFC 7515 §4.1.9). */
function mediaType(typ: string): string {
  return typ.toLowerCase().replace(/^application\/(?=[^/]*$)/, "");
}

/** Says why `jwtVerify` refused a token. */
function reasonFor(error: unknown): string {
  if (error instanceof errors.JWTExpired) return "has expired";
  if (!(error instanceof errors.JWTClaimValidationFailed)) return "can't be checked with its key";
  const { claim, reason } = error;
  if (reason === "missing") return `has no ${claim}`;
  if (reason === "invalid") return `has a wrong ${claim}`;
  if (claim === "aud") return "isn't for this gateway: its audience (aud) is another one";
  if (claim === "nbf") return "isn't valid yet (nbf)";
  return `can't be used: its ${claim} isn't accepted`;
}

function refused(reason: string): AccessRefusal {
  return { kind: "unauthenticated", message: `The token ${reason}` };
}

/** Returns the header and the claims of a token, of which nothing is checked; `undefined` if it isn't one. */
export function tokenParts(text: string):
  | {
      readonly header: Readonly<Record<string, unknown>>;
      readonly claims: Readonly<Record<string, unknown>>;
    }
  | undefined {
  const [, headerPart, claimsPart] = COMPACT.exec(text) ?? [];
  const [header, claims] = [decoded(headerPart), decoded(claimsPart)];
  return header && claims && { header: header.value, claims: claims.value };
}

/** Decodes a part of a token to a JSON object; `undefined` if it isn't one. */
function decoded(
  part: string | undefined,
): { value: Readonly<Record<string, unknown>>; fault: string | undefined } | undefined {
  if (part === undefined) return undefined;
  try {
    const text = utf8.decode(fromBase64url(part));
    const value: unknown = JSON.parse(text);
    if (!isObject(value)) return undefined;
    const json = parseStrictJson(text);
    return { value, fault: "fault" in json ? json.fault : undefined };
  } catch {
    return undefined;
  }
}

async function openKeys(issuer: IssuerOptions, { clock, log }: JwtOptions): Promise<KeySource> {
  const { keys, algorithms } = issuer;
  if ("file" in keys) return await FileKeys.open(keys.file, algorithms, log);
  return new RemoteKeys({ url: keys.url, algorithms, clock, log });
}

/** @throws RangeError */
function expectSafe(issuers: readonly IssuerOptions[]): void {
  for (const [index, { issuer, algorithms, audience, keys }] of issuers.entries()) {
    const fault = (text: string) => new RangeError(`The issuer ${JSON.stringify(issuer)} ${text}`);
    if (issuers.findIndex((other) => other.issuer === issuer) !== index) throw fault("comes twice");
    if (audience.length === 0) throw fault("has no audience");
    if (algorithms.length === 0 || !algorithms.every(isAlgorithm)) {
      throw fault("has no algorithms, or unknown ones");
    }
    const secret = algorithms.filter(isSymmetric);
    if (secret.length > 0 && (secret.length < algorithms.length || "url" in keys)) {
      throw fault("has HS algorithms, which need a file and no other algorithms");
    }
  }
}
