import type { Clock } from "../core/ports/clock.ts";
import { reasonOf } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import { withDeadline } from "../core/timing/deadline.ts";
import { LogLimit } from "../core/timing/log-limit.ts";
import { isObject } from "../protocol/schema.ts";
import type { AccessRefusal, AccessRequest, Authenticator, Identity } from "./authenticator.ts";
import type { Claims, ReadClaims } from "./claims.ts";

/**
 * Returns the claims of a client. See `GatewayDeps.authorize`.
 *
 * @returns the claims of the client, as a token would have them; `undefined` if the request is for another
 * authenticator; `null` to refuse the client.
 */
export type AuthorizeHook = (
  request: AccessRequest,
) => Claims | null | undefined | Promise<Claims | null | undefined>;

/** Minimum time between two log lines about errors of the hook. */
const INTERVAL_MS = 1000;

const REFUSED: AccessRefusal = {
  kind: "unauthenticated",
  message: "What this client shows is not valid here",
};
const UNAVAILABLE: AccessRefusal = {
  kind: "unavailable",
  message: "Who this client is can't be checked now",
};

interface HookOptions {
  /** How long a promise of the hook may take. */
  readonly timeoutMs: number;
  readonly readClaims: ReadClaims;
  readonly clock: Clock;
  readonly log: Log;
}

/** Asks the host's own function. Its errors are logged, and refuse the client. */
export class HookAuthenticator implements Authenticator {
  readonly name = "hook";
  readonly #hook: AuthorizeHook;
  readonly #options: HookOptions;
  readonly #limit: LogLimit<string>;

  constructor(hook: AuthorizeHook, options: HookOptions) {
    this.#hook = hook;
    this.#options = options;
    this.#limit = new LogLimit(options.clock, INTERVAL_MS);
  }

  async authenticate(request: AccessRequest): Promise<Identity | AccessRefusal | undefined> {
    const { clock, timeoutMs, readClaims } = this.#options;
    let claims: Claims | null | undefined;
    try {
      claims = await withDeadline(clock, timeoutMs, async () => await this.#hook(request));
    } catch (error) {
      this.#failed(reasonOf(error), error);
      return UNAVAILABLE;
    }
    if (claims === undefined) return undefined;
    if (claims === null) return REFUSED;
    if (!isObject(claims)) {
      this.#failed("it must return claims, undefined or null");
      return UNAVAILABLE;
    }
    const identity = readClaims(claims);
    if ("kind" in identity) this.#failed(identity.detail);
    return identity;
  }

  #failed(reason: string, error?: unknown): void {
    const others = this.#limit.othersBefore("hook");
    if (others === undefined) return;
    const properties = { event: "hook_failed", hook: "authorize", reason, error, others };
    this.#options.log.error("The hook {hook} failed: {reason}", properties);
  }
}
