import type { Principal } from "../core/access/grant.ts";
import type { ACCESS_REFUSALS } from "../core/metering/meter.ts";
import type { Permissions } from "./permissions.ts";

/** Where a client shows a token. */
export type TokenPlace = "authorization" | "subprotocol" | "cookie" | "query" | "frame";

/** The token, or the user and password, that a client sends. They are never logged. */
export type Credentials =
  | { readonly kind: "none" }
  | { readonly kind: "token"; readonly token: string; readonly place: TokenPlace }
  | { readonly kind: "basic"; readonly user: string; readonly password: string };

/** Describes a client that wants to connect or to publish. */
export interface AccessRequest {
  readonly credentials: Credentials;
  /** The client's IP address; trusted proxies may name it. */
  readonly address: string;
  /** The group under which the address is counted: for IPv6 its /64 network. Default: the address. */
  readonly addressGroup?: string | undefined;
  /** The headers of the handshake, also if the client sends its token later, in a frame. */
  readonly headers: Headers;
  /** Aborted when the client is gone: nobody needs the answer. Default: it stays. */
  readonly left?: AbortSignal | undefined;
  /** Whether a client without credentials may connect and send a token in a frame. Default: `false`. */
  readonly mayShowTokenLater?: boolean;
}

/** An authenticator's statement about a client: its name and its permissions. */
export interface Identity {
  readonly principal: Principal;
  readonly permissions: Permissions;
  /** The token's name, by which it can be revoked. Default: the token has none. */
  readonly tokenId?: string | undefined;
  /** In Unix milliseconds. Default: now. */
  readonly issuedAtMs?: number | undefined;
  /** In Unix milliseconds. Default: never. */
  readonly expiresAtMs?: number | undefined;
  /** Names the credentials that the client has shown, for `Authenticator.recheck`; it is no secret. */
  readonly credential?: string | undefined;
}

/** The reason why a client may not connect. */
export interface AccessRefusal {
  /**
   * - `"malformed"`: the credentials can't be read, or contradict each other; HTTP answers 400.
   * - `"unauthenticated"`: the credentials are not valid; 401.
   * - `"forbidden"`: the credentials are valid, but allow nothing here; 403.
   * - `"unavailable"`: the credentials can't be checked now; 503. The client should retry.
   */
  readonly kind: (typeof ACCESS_REFUSALS)[number];
  /** Tells the client's developer the reason, without secrets. */
  readonly message: string;
  /** Tells the operator the reason, in the log, without secrets. Default: `message`. */
  readonly detail?: string | undefined;
}

/** Checks credentials of one kind. */
export interface Authenticator {
  /** Names the authenticator in logs and metrics: `"jwt"`. */
  readonly name: string;
  /**
   * Checks the credentials of a client. Never rejects.
   *
   * @returns `undefined` if the credentials are for another authenticator.
   */
  authenticate(request: AccessRequest): Promise<Identity | AccessRefusal | undefined>;
  /**
   * Returns what it says by now about a client that it let in before, without its credentials. By default, that is what it
   * said then.
   */
  recheck?(identity: Identity): Identity | AccessRefusal;
  /**
   * Begins to follow files and URLs. Called again after a stop.
   *
   * @param changed called when `recheck` may have another answer for some clients.
   */
  start?(changed: () => void): void;
  /** Ends what `start` began. May be called twice. */
  stop?(): void;
}

export function isRefusal(result: Identity | AccessRefusal): result is AccessRefusal {
  return "kind" in result;
}
