import { Grant, type GrantOptions, isSamePrincipal } from "../core/access/grant.ts";
import type { Clock } from "../core/ports/clock.ts";
import { carriesAll, type Selection } from "../core/subject/subject.ts";
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
  /** The accounts of NATS beside the default one. */
  readonly accounts: readonly { readonly name: string }[];
}

/** Refusals of clients that no authenticator knows, by what they show. */
const UNKNOWN = {
  none: { kind: "unauthenticated", message: "This gateway needs a token" },
  token: { kind: "unauthenticated", message: "This gateway doesn't know the token" },
  basic: { kind: "unauthenticated", message: "This gateway takes tokens, no passwords" },
} as const satisfies Record<AccessRequest["credentials"]["kind"], AccessRefusal>;

/** The identity and claims that a grant was made of. */
interface Origin {
  /** The version of all permissions at that time. */
  readonly version: number;
  /** `undefined`: the client has shown nothing. */
  readonly identity: Identity | undefined;
  /** The name of the authenticator that knows the client. */
  readonly authenticator: string | undefined;
}

const GONE: AccessRefusal = {
  kind: "unauthenticated",
  message: "What the client has shown is no longer accepted",
};
const EXPIRED: AccessRefusal = { kind: "unauthenticated", message: "The token has expired" };
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
  #options: AccessOptions;
  #authenticators: readonly Authenticator[];
  readonly #clock: Clock;
  readonly #revocations: RevocationCheck | undefined;
  /** Whether a reload has taken subjects away that the gateway exposed. */
  #hidesSubjects = false;
  #accounts!: ReadonlySet<string>;
  #everybody!: Grant;
  #awaitingToken!: Grant;
  /** Grows when clients that were let in may have other permissions. */
  #version = 0;
  /** The origin of each grant that was given. */
  readonly #origins = new WeakMap<Grant, Origin>();
  #isStarted = false;
  /** Called when clients that were let in may have other permissions; see {@linkcode renewed}. */
  onChanged: () => void = () => {};

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
    this.#make();
  }

  /** The authenticators in their order. */
  get authenticators(): readonly Authenticator[] {
    return this.#authenticators;
  }

  /** Decides by other settings and authenticators from now on: those that are not among the former ones are started. */
  replace(options: AccessOptions, authenticators: readonly Authenticator[]): void {
    const [before, gone] = [this.#options.subjects, this.#authenticators];
    this.#hidesSubjects ||= !before.every((one) =>
      options.subjects.some((pattern) => carriesAll(pattern, one)),
    );
    this.#options = options;
    this.#authenticators = authenticators;
    this.#make();
    for (const one of gone) if (!authenticators.includes(one)) one.stop?.();
    if (this.#isStarted) this.start();
    this.#changed();
  }

  /**
   * Returns the grant that a client has by now: another one than before if its permissions may have changed since, or
   * why it has none.
   */
  renewed(grant: Grant): Grant | AccessRefusal {
    const origin = this.#origins.get(grant);
    if (origin === undefined || origin.version === this.#version) return grant;
    const { identity, authenticator: name } = origin;
    if (identity === undefined) return grant.awaitsToken ? this.#awaitingToken : this.#everybody;
    const authenticator = this.#authenticators.find((one) => one.name === name);
    if (authenticator === undefined) return GONE;
    const now = authenticator.recheck?.(identity) ?? identity;
    if (isRefusal(now)) return now;
    const isOther =
      !isSamePrincipal(now.principal, identity.principal) ||
      now.permissions.account !== identity.permissions.account;
    // A token was issued when it was shown first, whatever its entry says now.
    return isOther
      ? GONE
      : this.#grantOf({ ...now, issuedAtMs: identity.issuedAtMs }, authenticator);
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

  /** Returns why a grant that was given counts no more: its token has expired, or is revoked. */
  refusalNow(grant: Grant): AccessRefusal | undefined {
    const now = this.renewed(grant);
    if ("kind" in now) return now;
    const { expiresAtMs = Number.POSITIVE_INFINITY } = now.terms.token ?? {};
    if (expiresAtMs <= this.#clock.wallMs()) return EXPIRED;
    return this.#revocations?.isRevoked(now) ? REVOKED : undefined;
  }

  /** Begins to follow the files and URLs of the authenticators. Called again after a stop. */
  start(): void {
    this.#isStarted = true;
    for (const authenticator of this.#authenticators) authenticator.start?.(() => this.#changed());
  }

  /** Ends what `start` began. May be called twice. */
  stop(): void {
    this.#isStarted = false;
    for (const authenticator of this.#authenticators) authenticator.stop?.();
  }

  #changed(): void {
    this.#version++;
    // These two are as new as the settings.
    this.#note(this.#everybody);
    this.#note(this.#awaitingToken);
    this.onChanged();
  }

  #make(): void {
    const options = this.#options;
    this.#accounts = new Set(options.accounts.map(({ name }) => name));
    this.#everybody = this.#note(Grant.forEverybody(options.subjects, options, this.#exposed));
    this.#awaitingToken = this.#note(Grant.awaitingToken(options.subjects, options));
  }

  /**
   * The subjects that stand for everything. While nothing was taken away, they need no list: a client gets what comes. After that,
   * messages of other subjects may still come for some time.
   */
  get #exposed(): Selection {
    return this.#hidesSubjects ? this.#options.subjects : "everything";
  }

  #note(
    grant: Grant,
    identity?: Identity,
    authenticator?: Authenticator,
    version = this.#version,
  ): Grant {
    this.#origins.set(grant, {
      version,
      identity,
      authenticator: authenticator?.name,
    });
    return grant;
  }

  async #admit(request: AccessRequest): Promise<Grant | AccessRefusal> {
    if (!this.isRequired) return this.#everybody;
    // An answer is as old as its question: permissions may change meanwhile.
    const version = this.#version;
    for (const authenticator of this.#authenticators) {
      const result = await authenticator.authenticate(request);
      if (result === undefined) continue;
      if (isRefusal(result)) return result;
      const refusal = this.#refusalOf(result);
      if (refusal !== undefined) return refusal;
      const now = this.renewed(this.#grantOf(result, authenticator, version));
      return "kind" in now ? now : this.#unlessRevoked(now);
    }
    return UNKNOWN[request.credentials.kind];
  }

  /** A client of an account that isn't here must not become one of another account. */
  #refusalOf({ permissions: { account } }: Identity): AccessRefusal | undefined {
    if (account === undefined || this.#accounts.has(account)) return undefined;
    return {
      kind: "forbidden",
      message: "The account of this client is not known here",
      detail: `no account of the configuration has the name ${JSON.stringify(account)}`,
    };
  }

  /** Without the list of what is revoked, nobody is let in; once it was read, the last known one counts. */
  #unlessRevoked(grant: Grant): Grant | AccessRefusal {
    if (this.#revocations?.isReady === false) return REVOCATIONS_UNKNOWN;
    return this.#revocations?.isRevoked(grant) ? REVOKED : grant;
  }

  /** @param version of the permissions that the identity has. Default: those of now. */
  #grantOf(identity: Identity, authenticator: Authenticator, version?: number): Grant {
    const { principal, permissions, tokenId, expiresAtMs } = identity;
    const { issuedAtMs = this.#clock.wallMs() } = identity;
    const options = this.#options;
    const { account, receives, publishes, requests, presence, starts, durables, maxRate } =
      permissions;
    const allowedPolicies = options.allowedPolicies.filter((policy) =>
      permissions.policies.includes(policy),
    );
    const token = {
      id: tokenId,
      issuedAtMs,
      expiresAtMs: expiresAtMs ?? Number.POSITIVE_INFINITY,
    };
    const allow = receives.allow === "everything" ? this.#exposed : receives.allow;
    const grant = new Grant(options.subjects, {
      ...{ principal, account, token, publishes, requests, presence },
      receives: { ...receives, allow },
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
    const known = identity.issuedAtMs === undefined ? { ...identity, issuedAtMs } : identity;
    return this.#note(grant, known, authenticator, version);
  }
}
