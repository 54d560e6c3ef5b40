import { ANONYMOUS, Grant, isSamePrincipal } from "../access/grant.ts";
import type { Refusal } from "../access/refusal.ts";
import type { TokenRefusal } from "../access/token-check.ts";
import type { ClientLimit } from "../metering/meter.ts";
import type { Clock } from "../ports/clock.ts";
import type { Connection } from "../sessions/connection.ts";
import type { ConnectionCounts } from "../sessions/connection-counts.ts";
import type { Session } from "../sessions/session.ts";
import { TimerQueue } from "../timing/timer-queue.ts";
import type { TurnShare } from "../timing/turn-share.ts";
import { GrantRenewal } from "./grant-renewal.ts";
import { RevocationSweep } from "./revocation-sweep.ts";
import { TokenChecks } from "./token-checks.ts";
import { TokenExpiry } from "./token-expiry.ts";

export interface AuthenticationOptions {
  /**
   * The most time that a client without a token may take to show one, and that the check of a token may take.
   */
  readonly authTimeoutMs: number;
}

interface AuthenticationParts {
  readonly clock: Clock;
  readonly turnShare: TurnShare;
  /** From 0 to 1: spreads the times at which clients are told that their token expires. */
  readonly random: () => number;
  /** Whether the token of a grant is revoked. */
  isRevoked(grant: Grant): boolean;
  /** Returns the grant that a client has by now; `undefined`: none. */
  renewed(grant: Grant): Grant | undefined;
  /** The connections whose clients are served. */
  readonly connections: ReadonlySet<Connection>;
  readonly counts: Pick<ConnectionCounts, "isFull" | "identify" | "recount">;
  /** Opens the account of a grant, unless it is open. @returns whether there is room for it. */
  openAccountFor(grant: Grant): boolean;
  /** Counts that a client exceeds a limit. */
  countLimited(limit: ClientLimit): void;
  readonly sessions: {
    /** Ends the sessions without a connection whose token is revoked; yields the steps that it takes to find them. */
    endRevoked(): Generator<number, void, void>;
    /** Gives the sessions without a connection their present grants, or ends them; yields the steps that it takes. */
    renewDetached(): Generator<number, void, void>;
    /** Begins the session of a client that has shown its first token, or resumes the one that it named. */
    identify(connection: Connection): void;
    /** The client of a connection and its session has another grant. */
    regrant(connection: Connection, session: Session, grant: Grant): void;
  };
}

/** Tells a client why its token isn't accepted. */
type Refuse = (refusal: Refusal) => void;

const UNSUPPORTED: Refusal = {
  code: "unsupported",
  message: '"auth" is for gateways that need a token; this one does not',
};
const BUSY: Refusal = {
  code: "unavailable",
  message: "the token that was sent before is still being checked",
  retryable: true,
};
const REVOKED: TokenRefusal = { kind: "unauthenticated", message: "the token is revoked" };

/** Takes the tokens that clients send in `auth`, and serves a connection only as long as it has a valid one. */
export class Authentication {
  readonly #options: AuthenticationOptions;
  readonly #parts: AuthenticationParts;
  readonly #timers: TimerQueue;
  readonly #checks: TokenChecks;
  readonly #expiry: TokenExpiry;
  readonly #sweep: RevocationSweep;
  readonly #renewal: GrantRenewal;

  constructor(options: AuthenticationOptions, parts: AuthenticationParts) {
    this.#options = options;
    this.#parts = parts;
    const timers = new TimerQueue(parts.clock);
    this.#timers = timers;
    this.#checks = new TokenChecks({ ...parts, timers, timeoutMs: () => options.authTimeoutMs });
    this.#expiry = new TokenExpiry({ ...parts, timers });
    this.#sweep = new RevocationSweep(parts);
    this.#renewal = new GrantRenewal({
      ...parts,
      regranted: (connection) => {
        if (!connection.grant.awaitsToken) this.#expiry.watch(connection);
      },
    });
  }

  /** A connection begins; its token may have been revoked, or its permissions changed, since the handshake. */
  begin(connection: Connection): void {
    const grant = this.#parts.renewed(connection.grant);
    if (grant === undefined || this.#parts.isRevoked(grant)) {
      connection.end("revoked");
      return;
    }
    connection.grant = grant;
    if (grant.awaitsToken) this.#expiry.awaitToken(connection, this.#options.authTimeoutMs);
    else this.#expiry.watch(connection);
  }

  /** A connection has ended. */
  ended(connection: Connection): void {
    this.#expiry.forget(connection);
    this.#checks.forget(connection);
  }

  /**
   * Checks a token that a client sends, and answers it later.
   *
   * @returns why it isn't checked, or `undefined`.
   */
  receive(
    connection: Connection,
    { id, token }: { readonly id?: string; readonly token: string },
    refuse: Refuse,
  ): Refusal | undefined {
    const { checkToken } = connection;
    if (checkToken === undefined) return UNSUPPORTED;
    if (this.#checks.has(connection)) return BUSY;
    this.#checks.begin(connection, checkToken, token, (result) => {
      if (!(result instanceof Grant)) {
        this.#refuse(connection, result, refuse);
        return;
      }
      const grant = this.#parts.renewed(result);
      if (grant === undefined || this.#parts.isRevoked(grant)) {
        this.#refuse(connection, REVOKED, refuse);
      } else this.#accept(connection, grant, id, refuse);
    });
    return undefined;
  }

  /** Tokens were revoked: ends the connections and sessions that they belong to, in shares of the next turns. */
  endRevoked(): void {
    this.#sweep.run();
  }

  /** The permissions of clients may have changed: gives them their present grants, in shares of the next turns. */
  renewGrants(): void {
    this.#renewal.run();
  }

  /** Ends all checks of tokens, and releases all timers. */
  stop(): void {
    this.#timers.stop();
    this.#checks.stop();
    this.#expiry.stop();
    this.#sweep.stop();
    this.#renewal.stop();
  }

  #accept(connection: Connection, grant: Grant, id: string | undefined, refuse: Refuse): void {
    const { session, grant: before } = connection;
    if (session === undefined) return;
    const { principal, account, token } = grant.terms;
    const isFirst = before.awaitsToken;
    const mayBecome =
      isFirst ||
      (account === before.terms.account &&
        (isSamePrincipal(before.terms.principal, ANONYMOUS) ||
          isSamePrincipal(before.terms.principal, principal)));
    if (!mayBecome) {
      const message = "the token is of another client than this connection's";
      refuse({ code: "forbidden", message });
      return;
    }
    const { clock, sessions, counts } = this.#parts;
    if (!isSamePrincipal(before.terms.principal, principal) && counts.isFull(principal)) {
      this.#parts.countLimited("sub");
      connection.end("too_many_connections");
      return;
    }
    if (isFirst && !this.#parts.openAccountFor(grant)) {
      refuse({ code: "unavailable", message: "too many accounts are in use", retryable: true });
      connection.end("overloaded");
      return;
    }
    // Messages that were published before belong before the answer.
    session.flush();
    connection.grant = grant;
    if (isFirst) counts.identify(connection);
    counts.recount(connection);
    const endMs = token?.expiresAtMs ?? Number.POSITIVE_INFINITY;
    const expires = Number.isFinite(endMs) && {
      expires_in_ms: Math.max(0, Math.round(endMs - clock.wallMs())),
    };
    const named = id !== undefined && { id };
    session.tell({ type: "authenticated", ...named, sub: principal.sub, ...expires });
    // These messages, or the answer, may have been too much for the client.
    if (connection.isOver) return;
    this.#expiry.watch(connection);
    if (isFirst) sessions.identify(connection);
    else sessions.regrant(connection, session, grant);
  }

  #refuse(connection: Connection, { kind, message }: TokenRefusal, refuse: Refuse): void {
    const code = kind === "malformed" ? "unauthenticated" : kind;
    refuse({ code, message, retryable: kind === "unavailable" });
    // A client that had no token before has had its try.
    if (kind !== "unavailable" && connection.grant.awaitsToken) connection.end("unauthenticated");
  }
}
