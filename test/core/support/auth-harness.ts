import {
  Grant,
  type GrantTerms,
  NOTHING_ALLOWED,
  START_KINDS,
} from "../../../src/core/access/grant.ts";
import type { TokenCheck, TokenRefusal } from "../../../src/core/access/token-check.ts";
import type { PresenceBucket } from "../../../src/core/ports/presence.ts";
import type { ClientPublisher, Durables, StreamHistory } from "../../../src/core/ports/source.ts";
import { V1 } from "../../../src/core/wire/dialect.ts";
import { Harness, type HarnessOptions, type TestClient } from "./harness.ts";
import { ManualClock } from "./manual-clock.ts";

const GRANT_OPTIONS = {
  deliveryMode: "at-most-once",
  policy: "disconnect",
  allowedPolicies: ["disconnect", "conflate", "drop-oldest"],
  startFrom: "new",
  maxSubscriptions: 8,
} as const;

/** The part of a grant that a test is about. */
export interface WantedGrant extends Partial<Omit<GrantTerms, "receives" | "token" | "principal">> {
  readonly sub?: string;
  readonly issuer?: string;
  readonly allow?: readonly string[];
  readonly deny?: readonly string[];
  /** In how many milliseconds of the manual clock's beginning the token expires. */
  readonly expiresMs?: number;
  /** In how many milliseconds of the manual clock's beginning the token was issued. Default: then. */
  readonly issuedMs?: number;
  /** The `jti` of the token. */
  readonly id?: string;
}

/** Makes a grant of a token that was issued when the clock began. */
export function grantOf(wanted: WantedGrant = {}): Grant {
  const { sub = "ann", issuer = "i", allow = [">"], deny = [], id, ...more } = wanted;
  const { expiresMs, issuedMs = 0, ...terms } = more;
  const startMs = ManualClock.WALL_START_MS;
  return new Grant([">"], {
    ...GRANT_OPTIONS,
    principal: { issuer, sub },
    account: undefined,
    token: {
      id,
      issuedAtMs: startMs + issuedMs,
      expiresAtMs: expiresMs === undefined ? Number.POSITIVE_INFINITY : startMs + expiresMs,
    },
    basis: "claims",
    receives: { allow, deny },
    publishes: NOTHING_ALLOWED,
    requests: NOTHING_ALLOWED,
    presence: NOTHING_ALLOWED,
    starts: START_KINDS,
    durables: "any",
    sessions: true,
    maxRate: Number.POSITIVE_INFINITY,
    ...terms,
  });
}

/** A {@linkcode Harness} whose clients need tokens, which the test makes. */
export class AuthHarness {
  readonly harness: Harness;
  readonly grants = new Map<string, Grant | TokenRefusal>();
  /** The grants whose token is revoked. */
  readonly revoked = new Set<Grant>();
  /** How many tokens were checked. */
  checks = 0;
  readonly awaiting: Grant;
  check: TokenCheck = async (token) => {
    this.checks++;
    return this.grants.get(token) ?? { kind: "unauthenticated", message: "no such token" };
  };

  constructor(
    options: Partial<HarnessOptions> & {
      stepsPerTurn?: number;
      publisher?: ClientPublisher;
      presenceBucket?: PresenceBucket;
    } = {},
    history?: StreamHistory,
    durables?: Durables,
  ) {
    this.harness = new Harness(options, history, durables, (grant) => this.revoked.has(grant));
    this.awaiting = Grant.awaitingToken([">"], { ...GRANT_OPTIONS, ...options });
  }

  /** Connects a client of v1; without a grant, it has shown no token. */
  join(grant = this.awaiting, session?: string): TestClient {
    const check: TokenCheck = (token) => this.check(token);
    const peer = this.harness.joinWith(undefined, V1, false, session, grant, check);
    // It is there for as long as its token allows.
    peer.socket.onPing = () => peer.connection.heard();
    return peer;
  }

  /** Revokes the token of a grant. */
  revoke(grant: Grant): void {
    this.revoked.add(grant);
    this.harness.clients.endRevoked();
  }

  /** Adds a token, and sends it. */
  async auth(peer: TestClient, grant: Grant | TokenRefusal, id?: string): Promise<void> {
    const token = `t${this.grants.size}`;
    this.grants.set(token, grant);
    peer.send({ type: "auth", ...(id !== undefined && { id }), token });
    await settled();
  }
}

/** Lets promises that are settled call those who wait for them. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
}
