import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import type { AccessRefusal, AccessRequest, Authenticator, Identity } from "./authenticator.ts";
import { expectNoOthers, identityOf, readEntries, readTime } from "./credential-file.ts";
import { sameBytes, sha256 } from "./digest.ts";
import { FileFault, type FileReader, WatchedFile } from "./watched-file.ts";

/** Who vouches for the names of clients with static tokens. */
export const STATIC_TOKENS_ISSUER = "spillway:tokens";

/**
 * Shorter tokens are not looked up: a fast hash protects only tokens that can't be guessed. 32 characters are 128 random
 * bits in hexadecimal.
 */
const MIN_TOKEN_LENGTH = 32;
const MAX_TOKEN_LENGTH = 8192;
const SHA256_HEX = /^[0-9a-fA-F]{64}$/;
/** The part of a hash by which it is found; the rest is compared in constant time. */
const PREFIX_BYTES = 4;
/** The part of a hash that names the token where it is revoked. */
const ID_LENGTH = 32;

const EXPIRED: AccessRefusal = { kind: "unauthenticated", message: "The token has expired" };

export interface StaticTokensOptions {
  readonly file: FileReader;
  readonly clock: Pick<Clock, "wallMs">;
  readonly log: Log;
}

interface StaticToken {
  readonly digest: Uint8Array;
  readonly identity: Identity;
}

/** By the first bytes of their hashes. */
type StaticTokenTable = ReadonlyMap<string, readonly StaticToken[]>;

/**
 * Knows clients by tokens whose SHA-256 hashes are in a file: a JSON list of objects with
 *
 * - `sha256`: the hash, in hexadecimal.
 * - `sub`: the client's name.
 * - `authorization_details`: what it may do (RFC 9396).
 * - `issued`, `expires`: times as in RFC 3339. Default: unknown, so that each revocation of `sub` counts; and never.
 */
export class StaticTokens implements Authenticator {
  readonly name = "tokens";
  readonly #file: WatchedFile<StaticTokenTable>;
  readonly #clock: Pick<Clock, "wallMs">;

  private constructor(file: WatchedFile<StaticTokenTable>, clock: Pick<Clock, "wallMs">) {
    this.#file = file;
    this.#clock = clock;
  }

  /** @throws FileFault if the file can't be read or used. */
  static async open({ file, clock, log }: StaticTokensOptions): Promise<StaticTokens> {
    return new StaticTokens(await WatchedFile.open(file, readTokens, log), clock);
  }

  async authenticate({
    credentials,
  }: AccessRequest): Promise<Identity | AccessRefusal | undefined> {
    if (credentials.kind !== "token") return undefined;
    const { length } = credentials.token;
    if (length < MIN_TOKEN_LENGTH || length > MAX_TOKEN_LENGTH) return undefined;
    const digest = await sha256(credentials.token);
    const candidates = this.#file.value.get(prefixOf(digest)) ?? [];
    const token = candidates.find((candidate) => sameBytes(candidate.digest, digest));
    if (token === undefined) return undefined;
    const { expiresAtMs = Number.POSITIVE_INFINITY } = token.identity;
    return expiresAtMs <= this.#clock.wallMs() ? EXPIRED : token.identity;
  }

  stop(): void {
    this.#file.stop();
  }
}

/** @throws FileFault */
function readTokens(text: string): StaticTokenTable {
  const table = new Map<string, StaticToken[]>();
  for (const [index, entry] of readEntries(text).entries()) {
    const token = readToken(entry, `[${index}]`);
    const prefix = prefixOf(token.digest);
    const others = table.get(prefix) ?? [];
    if (others.some(({ digest }) => sameBytes(digest, token.digest))) {
      throw new FileFault(`has the hash of [${index}] twice`);
    }
    table.set(prefix, [...others, token]);
  }
  return table;
}

function readToken(entry: Readonly<Record<string, unknown>>, at: string): StaticToken {
  const { sha256: hash, sub, issued, expires, authorization_details, ...others } = entry;
  expectNoOthers(others, at);
  if (typeof hash !== "string" || !SHA256_HEX.test(hash)) {
    throw new FileFault(`has ${at}.sha256, which must be 64 hexadecimal digits`);
  }
  const claims = { sub, authorization_details };
  return {
    digest: Uint8Array.from(hash.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)),
    identity: {
      ...identityOf(claims, STATIC_TOKENS_ISSUER, at),
      tokenId: hash.slice(0, ID_LENGTH).toLowerCase(),
      issuedAtMs: readTime(issued, `${at}.issued`) ?? Number.NEGATIVE_INFINITY,
      expiresAtMs: readTime(expires, `${at}.expires`),
    },
  };
}

function prefixOf(digest: Uint8Array): string {
  return digest.subarray(0, PREFIX_BYTES).join(".");
}
