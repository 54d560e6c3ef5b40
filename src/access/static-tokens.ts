import type { Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import type { AccessRefusal, AccessRequest, Authenticator, Identity } from "./authenticator.ts";
import { expectNoOthers, identityOf, readTime } from "./credential-file.ts";
import { type TokenFields, TokenTable } from "./token-table.ts";
import { type FileReader, WatchedFiles } from "./watched-files.ts";

/** Who vouches for the names of clients with static tokens. */
export const STATIC_TOKENS_ISSUER = "spillway:tokens";

/** The part of a hash that names the token where it is revoked. */
const ID_LENGTH = 32;

const EXPIRED: AccessRefusal = { kind: "unauthenticated", message: "The token has expired" };
const GONE: AccessRefusal = { kind: "unauthenticated", message: "The token is no longer known" };

/** The entries of the file: by their tokens, and by the part of the hash that names the token. */
interface Tokens {
  readonly byToken: TokenTable<Identity>;
  readonly byId: ReadonlyMap<string, Identity>;
}

export interface StaticTokensOptions {
  readonly file: FileReader;
  readonly clock: Pick<Clock, "wallMs">;
  readonly log: Log;
}

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
  readonly #file: WatchedFiles<Tokens>;
  readonly #clock: Pick<Clock, "wallMs">;

  private constructor(file: WatchedFiles<Tokens>, clock: Pick<Clock, "wallMs">) {
    this.#file = file;
    this.#clock = clock;
  }

  /** @throws FileFault if the file can't be read or used. */
  static async open({ file, clock, log }: StaticTokensOptions): Promise<StaticTokens> {
    return new StaticTokens(await WatchedFiles.openOne(file, readTokens, log), clock);
  }

  async authenticate({
    credentials,
  }: AccessRequest): Promise<Identity | AccessRefusal | undefined> {
    if (credentials.kind !== "token") return undefined;
    const identity = await this.#file.value.byToken.find(credentials.token);
    return identity === undefined ? undefined : this.#unlessExpired(identity);
  }

  recheck({ tokenId = "" }: Identity): Identity | AccessRefusal {
    const identity = this.#file.value.byId.get(tokenId);
    return identity === undefined ? GONE : this.#unlessExpired(identity);
  }

  start(changed: () => void = () => {}): void {
    this.#file.start(changed);
  }

  stop(): void {
    this.#file.stop();
  }

  #unlessExpired(identity: Identity): Identity | AccessRefusal {
    const { expiresAtMs = Number.POSITIVE_INFINITY } = identity;
    return expiresAtMs <= this.#clock.wallMs() ? EXPIRED : identity;
  }
}

/** @throws FileFault */
function readTokens(text: string): Tokens {
  const byId = new Map<string, Identity>();
  const byToken = TokenTable.read(text, (...entry) => {
    const identity = readToken(...entry);
    byId.set(identity.tokenId, identity);
    return identity;
  });
  return { byToken, byId };
}

function readToken(
  fields: TokenFields,
  hash: string,
  at: string,
): Identity & { readonly tokenId: string } {
  const { sub, issued, expires, authorization_details, ...others } = fields;
  expectNoOthers(others, at);
  return {
    ...identityOf({ sub, authorization_details }, STATIC_TOKENS_ISSUER, at),
    tokenId: hash.slice(0, ID_LENGTH),
    issuedAtMs: readTime(issued, `${at}.issued`) ?? Number.NEGATIVE_INFINITY,
    expiresAtMs: readTime(expires, `${at}.expires`),
  };
}
