import type { Principal } from "../core/access/grant.ts";
import type { ACCESS_REFUSALS } from "../core/metering/meter.ts";
import type { Permissions } from "./permissions.ts";

/** Where a client shows a token. */
export type TokenPlace = "authorization" | "subprotocol" | "cookie" | "query" | "frame";

/** What a client shows to say who it is. Nothing of it is ever logged. */
export type Credentials =
  | { readonly kind: "none" }
  | { readonly kind: "token"; readonly token: string; readonly place: TokenPlace }
  | { readonly kind: "basic"; readonly user: string; readonly password: string };

/** A client that wants to be let in. */
export interface AccessRequest {
  readonly credentials: Credentials;
  /** The client's IP address, as told by trusted proxies. */
  readonly address: string;
  /** Of the handshake, also when the token comes later, in a frame. */
  readonly headers: Headers;
  /** Whether a client that shows nothing is let in to send a token in a frame. Default: `false`. */
  readonly mayShowTokenLater?: boolean;
}

/** Who a client is, proved by an authenticator. */
export interface Identity {
  readonly principal: Principal;
  readonly permissions: Permissions;
  /** See `GrantToken`; `undefined`: no token, and no end. */
  readonly tokenId?: string | undefined;
  /** In Unix milliseconds. Default: now. */
  readonly issuedAtMs?: number | undefined;
  /** In Unix milliseconds. Default: never. */
  readonly expiresAtMs?: number | undefined;
  /** The name of the NATS connection that the client uses. Default: the configured one. */
  readonly account?: string | undefined;
}

/** Why a client is not let in. */
export interface AccessRefusal {
  /**
   * - `"malformed"`: what the client shows can't be read, or contradicts itself; HTTP answers 400.
   * - `"unauthenticated"`: what the client shows is not valid; 401.
   * - `"forbidden"`: it is valid, and allows nothing here; 403.
   * - `"unavailable"`: it can't be checked now; 503. The client should try again.
   */
  readonly kind: (typeof ACCESS_REFUSALS)[number];
  /** For the client's developer; names no secret. */
  readonly message: string;
  /** For the log of the operator; names no secret. Default: `message`. */
  readonly detail?: string | undefined;
}

/** One way to prove who a client is. */
export interface Authenticator {
  /** For logs and metrics: `"jwt"`. */
  readonly name: string;
  /**
   * Checks what a client shows. Never rejects.
   *
   * @returns `undefined` if the credentials are for another authenticator.
   */
  authenticate(request: AccessRequest): Promise<Identity | AccessRefusal | undefined>;
  /** Releases timers and watches. May be called twice. */
  stop?(): void;
}

export function isRefusal(result: Identity | AccessRefusal): result is AccessRefusal {
  return "kind" in result;
}
