import type { Context } from "hono";
import type { AccessRefusal, AccessRequest } from "../access/authenticator.ts";
import type { Grant } from "../core/access/grant.ts";
import type { TokenCheck } from "../core/access/token-check.ts";
import type { SocketRuntime } from "../runtime/runtime.ts";
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
}

/** Finds out who the client of an HTTP request is. */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #access: HttpAccess;
  readonly #sockets: SocketRuntime;
  readonly #guard: Pick<Guard, "countsCookies">;

  constructor(
    options: AdmissionOptions,
    parts: {
      readonly access: HttpAccess;
      readonly sockets: SocketRuntime;
      readonly guard: Pick<Guard, "countsCookies">;
    },
  ) {
    this.#options = options;
    this.#access = parts.access;
    this.#sockets = parts.sockets;
    this.#guard = parts.guard;
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

  /** Returns what checks the tokens that a client sends in frames; `undefined` if clients need none. */
  tokenCheckOf(c: Context): TokenCheck | undefined {
    if (!this.#access.isRequired) return undefined;
    const address = this.#sockets.addressOf(c);
    // The request itself isn't kept.
    const kept = [...this.#countedHeaders(c)].filter(([name]) => !NOT_KEPT.has(name));
    const headers = new Headers(kept);
    return async (token) => {
      const credentials = tokenFrom("frame", token);
      if ("message" in credentials) return credentials;
      return await this.#access.admit({ credentials, address, headers });
    };
  }

  /** Reads what a client shows. Where clients need show nothing, nothing is read: it is for a proxy. */
  requestOf(c: Context): AccessRequest | AccessRefusal {
    const address = this.#sockets.addressOf(c);
    if (!this.#access.isRequired) {
      return { credentials: { kind: "none" }, address, headers: c.req.raw.headers };
    }
    const headers = this.#countedHeaders(c);
    const queryTokens = c.req.queries(QUERY_TOKEN) ?? [];
    const credentials = readCredentials({ headers, queryTokens }, this.#options);
    const showsToken = "message" in credentials || credentials.kind === "token";
    setChallenge(c, this.#challenge(showsToken));
    return "message" in credentials ? credentials : { credentials, address, headers };
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
