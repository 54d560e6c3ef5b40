import { Grant, type GrantOptions } from "../core/access/grant.ts";
import type { Clock } from "../core/ports/clock.ts";
import {
  type AccessRefusal,
  type AccessRequest,
  type Authenticator,
  type Identity,
  isRefusal,
} from "./authenticator.ts";

export interface AccessOptions extends GrantOptions {
  /** The subjects that the gateway exposes. */
  readonly subjects: readonly string[];
}

const UNAUTHENTICATED: AccessRefusal = {
  kind: "unauthenticated",
  message: "This gateway needs a token",
};

const REVOKED: AccessRefusal = { kind: "unauthenticated", message: "The token is revoked" };
const REVOCATIONS_UNKNOWN: AccessRefusal = {
  kind: "unavailable",
  message: "Whether the token is revoked can't be checked now",
  detail: "the bucket of revocations was not read yet",
};

/** Knows which tokens are revoked. */
export interface RevocationCheck {
  /** Whether the list of them was read once. */
  readonly isReady: boolean;
  isRevoked(grant: Grant): boolean;
}

/**
 * Decides who is let in, and with which grant. Without authenticators everybody is, with the grant of the configuration.
 * Authenticators are asked in their order; the first one that knows the credentials decides.
 */
export class Access {
  readonly #options: AccessOptions;
  readonly #authenticators: readonly Authenticator[];
  readonly #clock: Clock;
  readonly #revocations: RevocationCheck | undefined;
  readonly #everybody: Grant;
  readonly #awaitingToken: Grant;

  /** @param revocations `undefined`: no token is ever revoked. */
  constructor(
    options: AccessOptions,
    authenticators: readonly Authenticator[],
    clock: Clock,
    revocations?: RevocationCheck,
  ) {
    this.#revocations = revocations;
    this.#options = options;
    this.#authenticators = authenticators;
    this.#clock = clock;
    this.#everybody = Grant.forEverybody(options.subjects, options);
    this.#awaitingToken = Grant.awaitingToken(options.subjects, options);
  }

  /** Whether clients must show who they are. */
  get isRequired(): boolean {
    return this.#authenticators.length > 0;
  }

  /** Returns the grant of a client, or why it is not let in. Never rejects. */
  async admit(request: AccessRequest): Promise<Grant | AccessRefusal> {
    const result = await this.#admit(request);
    const isLater =
      request.mayShowTokenLater === true &&
      request.credentials.kind === "none" &&
      "kind" in result &&
      result.kind === "unauthenticated";
    return isLater ? this.#awaitingToken : result;
  }

  stop(): void {
    for (const authenticator of this.#authenticators) authenticator.stop?.();
  }

  async #admit(request: AccessRequest): Promise<Grant | AccessRefusal> {
    if (!this.isRequired) return this.#everybody;
    for (const authenticator of this.#authenticators) {
      const result = await authenticator.authenticate(request);
      if (result === undefined) continue;
      return isRefusal(result) ? result : this.#unlessRevoked(this.#grantOf(result));
    }
    return UNAUTHENTICATED;
  }

  /** Without the list of what is revoked, nobody is let in; once it was read, the last known one counts. */
  #unlessRevoked(grant: Grant): Grant | AccessRefusal {
    if (this.#revocations?.isReady === false) return REVOCATIONS_UNKNOWN;
    return this.#revocations?.isRevoked(grant) ? REVOKED : grant;
  }

  #grantOf({ principal, permissions, tokenId, issuedAtMs, expiresAtMs }: Identity): Grant {
    const options = this.#options;
    const { receives, publishes, requests, starts, durables, maxRate } = permissions;
    const allowedPolicies = options.allowedPolicies.filter((policy) =>
      permissions.policies.includes(policy),
    );
    const token = {
      id: tokenId,
      issuedAtMs: issuedAtMs ?? this.#clock.wallMs(),
      expiresAtMs: expiresAtMs ?? Number.POSITIVE_INFINITY,
    };
    return new Grant(options.subjects, {
      ...{ principal, token, receives, publishes, requests },
      basis: "claims",
      deliveryMode: options.deliveryMode,
      policy: permissions.policies.includes(options.policy)
        ? options.policy
        : (allowedPolicies[0] ?? options.policy),
      allowedPolicies,
      startFrom: options.startFrom,
      ...{ starts, durables, maxRate },
      sessions: true,
      maxSubscriptions: Math.min(permissions.maxSubscriptions, options.maxSubscriptions),
    });
  }
}
