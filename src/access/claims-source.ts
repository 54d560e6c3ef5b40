import type { Clock } from "../core/ports/clock.ts";
import type { AccessRefusal, Identity } from "./authenticator.ts";

/**
 * Who a client is and what it may do, in the shape of an access token's claims (RFC 9068, RFC 9396).
 *
 * ```json
 * { "sub": "u_42", "exp": 1790000000,
 *   "authorization_details": [{ "type": "spillway", "actions": ["subscribe"], "subjects": { "allow": ["orders.u_42.>"] } }] }
 * ```
 */
export type Claims = Readonly<Record<string, unknown>>;

/** Makes an identity of claims; a refusal says which of them is wrong. */
export type ReadClaims = (claims: Claims) => Identity | AccessRefusal;

/** Waits for an answer. @throws if it takes longer than the timeout. */
export async function withDeadline<T>(
  clock: Pick<Clock, "after">,
  timeoutMs: number,
  ask: () => Promise<T>,
): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const cancel = clock.after(timeoutMs, () => {
    reject(new Error(`there is no answer after ${timeoutMs} ms`));
  });
  try {
    return await Promise.race([ask(), promise]);
  } finally {
    cancel();
  }
}
