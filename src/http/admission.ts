import type { Context } from "hono";
import type { AccessRefusal, AccessRequest } from "../access/authenticator.ts";
import type { Grant } from "../core/access/grant.ts";
import type { TokenCheck } from "../core/access/token-check.ts";
import type { AccessLog } from "./access-log.ts";
import { addressGroupOf, type RequestSockets } from "./client-address.ts";
import { type CredentialOptions, QUERY_TOKEN, readCredentials, tokenFrom } from "./credentials.ts";
import type { Guard } from "./origin-guard.ts";
import { setChallenge } from "./problem.ts";

export interface AdmissionOptions extends CredentialOptions {
  /** The file of users, if clients may log in by HTTP Basic. */
  readonly passwordsFile?: string | undefined;
}

/** Headers of a handshake that say nothing of the client, or may hold another token. */
const NOT_KEPT: ReadonlySet<string> = new Set([
  "authorization",
  "connection",
  "sec-websocket-extensions",
  "sec-websocket-key",
  "sec-websocket-protocol",
  "sec-websocket-version",
  "upgrade",
]);

/** Decides who is let in; see `Access`. */
export interface HttpAccess {
  /** Whether clients must show who they are. */
  readonly isRequired: boolean;
  admit(request: AccessRequest): Promise<Grant | AccessRefusal>;
  refusalNow(grant: Grant): AccessRefusal | undefined;
}

interface AdmissionAccounts {
  /** Resolves when the client of a grant can be served in its account. */
  ready(grant: Grant): Promise<void>;
}

/** Finds out who the client of an HTTP request is. */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #access: HttpAccess;
  readonly #sockets: RequestSockets;
  readonly #guard: Pick<Guard, "countsCookies">;
  readonly #log: Pick<AccessLog, "refused" | "authenticated">;
  readonly #accounts: AdmissionAccounts;

  constructor(
    options: AdmissionOptions,
    parts: {
      readonly access: HttpAccess;
      readonly sockets: RequestSockets;
      readonly guard: Pick<Guard, "countsCookies">;
      /** Is told which tokens in frames are refused, and which are valid. */
      readonly log: Pick<AccessLog, "refused" | "authenticated">;
      readonly accounts: AdmissionAccounts;
    },
  ) {
    this.#options = options;
    this.#access = parts.access;
    this.#sockets = parts.sockets;
    this.#guard = parts.guard;
    this.#log = parts.log;
    this.#accounts = parts.accounts;
  }

  /**
   * Returns the grant of a client, or why it is not let in.
   *
   * @param mayShowTokenLater whether a client that shows nothing is let in to send a token in a frame.
   */
  async grantOf(c: Context, mayShowTokenLater = false): Promise<Grant | AccessRefusal> {
    const request = this.requestOf(c);
    if ("message" in request) return request;
    return await this.#access.admit({ ...request, mayShowTokenLater });
  }

  /**
   * Returns what checks the tokens that a client sends in frames; `undefined` if clients need none.
   *
   * @param grant the client's grant at its handshake.
   */
  tokenCheckOf(c: Context, { awaitsToken }: Grant): TokenCheck | undefined {
    if (!this.#access.isRequired) return undefined;
    // The account of a client stays the one of its first token.
    let hasAccount = !awaitsToken;
    const from = this.#addressOf(c);
    // The request itself isn't kept.
    const kept = [...this.#countedHeaders(c)].filter(([name]) => !NOT_KEPT.has(name));
    const headers = new Headers(kept);
    return async (token) => {
      const credentials = tokenFrom("frame", token);
      const result =
        "message" in credentials
          ? credentials
          : await this.#access.admit({ credentials, ...from, headers });
      if ("message" in result) {
        this.#log.refused(from.address, result);
        return result;
      }
      this.#log.authenticated(from.address, result);
      if (!hasAccount) await this.#accounts.ready(result);
      hasAccount = true;
      return result;
    };
  }

  /** Reads a client's credentials. If clients need none, nothing is read: what they send is for a proxy. */
  requestOf(c: Context): AccessRequest | AccessRefusal {
    if (!this.#access.isRequired) {
      const address = this.#sockets.addressOf(c);
      return { credentials: { kind: "none" }, address, headers: c.req.raw.headers };
    }
    const headers = this.#countedHeaders(c);
    const queryTokens = c.req.queries(QUERY_TOKEN) ?? [];
    const credentials = readCredentials({ headers, queryTokens }, this.#options);
    const showsToken = "message" in credentials || credentials.kind === "token";
    setChallenge(c, this.#challenge(showsToken));
    if ("message" in credentials) return credentials;
    const request = { credentials, ...this.#addressOf(c), headers };
    // Only passwords cost so much that it is worth knowing. Node's sockets don't tell it of handshakes.
    return credentials.kind === "basic" ? { ...request, left: c.req.raw.signal } : request;
  }

  #addressOf(c: Context): Pick<AccessRequest, "address" | "addressGroup"> {
    const address = this.#sockets.addressOf(c);
    return { address, addressGroup: addressGroupOf(address) };
  }

  /** Any page can make a browser send the user's cookies, so only some pages' count: the others are taken out. */
  #countedHeaders(c: Context): Headers {
    const { headers } = c.req.raw;
    if (!headers.has("cookie") || this.#guard.countsCookies(c)) return headers;
    const counted = new Headers(headers);
    counted.delete("cookie");
    return counted;
  }

  #challenge(showsToken: boolean): string {
    const bearer = `Bearer realm="Spillway"${showsToken ? ', error="invalid_token"' : ""}`;
    const takesPasswords = this.#options.passwordsFile !== undefined;
    return takesPasswords ? `${bearer}, Basic realm="Spillway", charset="UTF-8"` : bearer;
  }
}
