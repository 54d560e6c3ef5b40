import type { Grant } from "./grant.ts";

/** Why a token isn't accepted. */
export interface TokenRefusal {
  /**
   * - `"malformed"`, `"unauthenticated"`: the token isn't valid.
   * - `"forbidden"`: it is valid, and allows nothing here.
   * - `"unavailable"`: it can't be checked now; the client may send it again.
   */
  readonly kind: "malformed" | "unauthenticated" | "forbidden" | "unavailable";
  /** For the client's developer; names no secret. */
  readonly message: string;
}

/**
 * Checks a token that a client sends on its connection, and returns what it grants. If it rejects or takes too long,
 * the token counts as `"unavailable"`.
 */
export type TokenCheck = (token: string) => Promise<Grant | TokenRefusal>;
