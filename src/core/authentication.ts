import type { CloseCause } from "../protocol/close-codes.ts";
import { ANONYMOUS, Grant, isSamePrincipal } from "./access/grant.ts";
import type { Refusal } from "./access/refusal.ts";
import type { TokenCheck, TokenRefusal } from "./access/token-check.ts";
import type { ClientLimit } from "./metering/meter.ts";
import type { Clock } from "./ports/clock.ts";
import type { Connection } from "./sessions/connection.ts";
import type { ConnectionCounts } from "./sessions/connection-counts.ts";
import type { Session } from "./sessions/session.ts";
import { NOT_QUEUED, type QueuedTimer, TimerQueue } from "./timing/timer-queue.ts";
import { SteppedJob, type TurnShare } from "./timing/turn-share.ts";

export interface AuthenticationOptions {
  /**
   * How long a client that connected without a token may take to show one, and how long the check of a token may take.
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
  /** The connections whose clients are served. */
  readonly connections: ReadonlySet<Connection>;
  readonly counts: Pick<ConnectionCounts, "isFull" | "identified">;
  /** A client exceeds a limit. */
  limited(limit: ClientLimit): void;
  readonly sessions: {
    /** Ends the sessions without a connection whose token is revoked; yields the steps that it takes. */
    endRevoked(): Generator<number, void, void>;
    /** Begins the session of a client that has shown its first token, or resumes the one that it named. */
    identify(connection: Connection): void;
    /** The client of a session has another grant. */
    regrant(session: Session, grant: Grant): void;
  };
}

/** What a client is told of a token that isn't accepted. */
type Refused = (refusal: Refusal) => void;

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
const UNAVAILABLE: TokenRefusal = {
  kind: "unavailable",
  message: "the token can't be checked now",
};

/** A timer is set anew after this time: the wall clock may be changed, and longer timers may not fit into the runtime's. */
const LONGEST_WAIT_MS = 60_000;
/** A client is told that its token expires when between these parts of the token's life are left. */
const EXPIRING_FROM = 1 / 5;
const EXPIRING_TO = 1 / 10;
/** About how many steps it takes to end a connection. */
const END_STEPS = 16;

/**
 * Takes the tokens that clients send in `auth`, tells clients that their token expires, and ends connections without a
 * valid one.
 */
export class Authentication {
  readonly #options: AuthenticationOptions;
  readonly #parts: AuthenticationParts;
  readonly #timers: TimerQueue;
  readonly #attempts = new Map<Connection, Attempt>();
  readonly #validities = new Map<Connection, Validity>();
  /** The connections to end in shares of the next turns. */
  #expired: Validity[] = [];
  /** Whether connections are looked at for revoked tokens, and whether that must begin again. */
  #isSweeping = false;
  #mustSweep = false;

  constructor(options: AuthenticationOptions, parts: AuthenticationParts) {
    this.#options = options;
    this.#parts = parts;
    this.#timers = new TimerQueue(parts.clock);
  }

  /** A connection begins; its token may have been revoked since the handshake. */
  begin(connection: Connection): void {
    if (this.#parts.isRevoked(connection.grant)) {
      connection.end("revoked");
      return;
    }
    const { awaitsToken } = connection.grant;
    if (!awaitsToken) {
      this.#watch(connection);
      return;
    }
    const { clock } = this.#parts;
    const deadline = {
      time: () => clock.nowMs(),
      endMs: clock.nowMs() + this.#options.authTimeoutMs,
    };
    this.#set(new Validity(connection, deadline, undefined, "unauthenticated", this.#fire));
  }

  /** A connection has ended. */
  end(connection: Connection): void {
    this.#forget(connection);
    this.#endAttempt(connection);
  }

  /**
   * Checks a token that a client sends, and answers it later.
   *
   * @returns why it isn't checked, or `undefined`.
   */
  receive(
    connection: Connection,
    { id, token }: { readonly id?: string; readonly token: string },
    refused: Refused,
  ): Refusal | undefined {
    const { checkToken } = connection;
    if (checkToken === undefined) return UNSUPPORTED;
    if (this.#attempts.has(connection)) return BUSY;
    const attempt: Attempt = new Attempt(() => answer(UNAVAILABLE));
    const answer = (result: Grant | TokenRefusal): void => {
      // It took too long, or the connection is over.
      if (this.#attempts.get(connection) !== attempt) return;
      this.#endAttempt(connection);
      if (!(result instanceof Grant)) this.#refuse(connection, result, refused);
      else if (this.#parts.isRevoked(result)) this.#refuse(connection, REVOKED, refused);
      else this.#accept(connection, result, id, refused);
    };
    this.#attempts.set(connection, attempt);
    this.#timers.set(attempt, this.#parts.clock.nowMs() + this.#options.authTimeoutMs);
    checked(checkToken, token)
      .then(answer)
      // An error of ours must not end the process: the client reconnects.
      .catch(() => connection.end("going_away"));
    return undefined;
  }

  /** Tokens were revoked: ends the connections and sessions that they belong to, in shares of the next turns. */
  endRevoked(): void {
    this.#mustSweep = true;
    if (this.#isSweeping) return;
    this.#isSweeping = true;
    this.#parts.turnShare.run(this, new SteppedJob(this.#sweep()));
  }

  /** Lets go of the timer. */
  stop(): void {
    this.#isSweeping = false;
    this.#timers.stop();
    this.#attempts.clear();
    this.#validities.clear();
    this.#expired = [];
  }

  #accept(connection: Connection, grant: Grant, id: string | undefined, refused: Refused): void {
    const { session, grant: before } = connection;
    if (connection.isOver || session === undefined) return;
    const { principal, token } = grant.terms;
    const isFirst = before.awaitsToken;
    const mayBecome =
      isFirst ||
      isSamePrincipal(before.terms.principal, ANONYMOUS) ||
      isSamePrincipal(before.terms.principal, principal);
    if (!mayBecome) {
      const message = "the token is of another client than this connection's";
      refused({ code: "forbidden", message });
      return;
    }
    const { clock, sessions, counts } = this.#parts;
    if (!isSamePrincipal(before.terms.principal, principal) && counts.isFull(principal)) {
      this.#parts.limited("sub");
      connection.end("too_many_connections");
      return;
    }
    // What was published before belongs before the answer.
    session.flush();
    if (connection.isOver) return;
    connection.grant = grant;
    counts.identified(connection);
    const endMs = token?.expiresAtMs ?? Number.POSITIVE_INFINITY;
    const expires = Number.isFinite(endMs) && {
      expires_in_ms: Math.max(0, Math.round(endMs - clock.wallMs())),
    };
    const named = id !== undefined && { id };
    session.tell({ type: "authenticated", ...named, sub: principal.sub, ...expires });
    this.#watch(connection);
    // The answer may have been too much for the client.
    if (connection.isOver) return;
    if (isFirst) sessions.identify(connection);
    else sessions.regrant(session, grant);
  }

  #refuse(connection: Connection, { kind, message }: TokenRefusal, refused: Refused): void {
    if (connection.isOver) return;
    const code = kind === "malformed" ? "unauthenticated" : kind;
    refused({ code, message, retryable: kind === "unavailable" });
    // A client that had no token before has had its try.
    if (kind !== "unavailable" && connection.grant.awaitsToken) connection.end("unauthenticated");
  }

  /** Tells the client before its grant ends, and ends the connection then. */
  #watch(connection: Connection): void {
    this.#forget(connection);
    const { token } = connection.grant.terms;
    if (token === undefined || token.expiresAtMs === Number.POSITIVE_INFINITY) return;
    const { clock, random } = this.#parts;
    const { expiresAtMs, issuedAtMs } = token;
    const nowMs = clock.wallMs();
    const sinceMs = Number.isFinite(issuedAtMs) ? Math.min(issuedAtMs, nowMs) : nowMs;
    const part = EXPIRING_TO + random() * (EXPIRING_FROM - EXPIRING_TO);
    const isTold = connection.dialect.name === "v1";
    const tellMs = isTold ? expiresAtMs - (expiresAtMs - sinceMs) * part : undefined;
    const expiry = { time: () => clock.wallMs(), endMs: expiresAtMs };
    this.#set(new Validity(connection, expiry, tellMs, "token_expired", this.#fire));
  }

  #set(validity: Validity): void {
    this.#validities.set(validity.connection, validity);
    this.#schedule(validity);
  }

  #schedule(validity: Validity): void {
    const { tellMs, deadline } = validity;
    const leftMs = (tellMs ?? deadline.endMs) - deadline.time();
    this.#timers.set(validity, this.#parts.clock.nowMs() + Math.min(leftMs, LONGEST_WAIT_MS));
  }

  readonly #fire = (validity: Validity): void => {
    const { connection, deadline } = validity;
    const nowMs = deadline.time();
    if (deadline.endMs <= nowMs) {
      this.#endLater(validity);
      return;
    }
    if (validity.tellMs !== undefined && validity.tellMs <= nowMs) {
      validity.tellMs = undefined;
      const expires_in_ms = Math.round(deadline.endMs - nowMs);
      connection.session?.tell({ type: "token_expiring", expires_in_ms });
      if (connection.isOver) return;
    }
    this.#schedule(validity);
  };

  /** Very many tokens may expire at the same time. */
  #endLater(validity: Validity): void {
    this.#expired.push(validity);
    if (this.#expired.length > 1) return;
    this.#parts.turnShare.run(this, new SteppedJob(this.#endAll()));
  }

  *#endAll(): Generator<number, void, void> {
    const expired = this.#expired;
    for (const validity of expired) {
      const { connection } = validity;
      // The client may have sent a new token in the meantime.
      if (this.#validities.get(connection) !== validity) continue;
      connection.end(validity.cause);
      yield END_STEPS;
    }
    if (this.#expired === expired) this.#expired = [];
  }

  *#sweep(): Generator<number, void, void> {
    while (this.#mustSweep) {
      this.#mustSweep = false;
      for (const connection of this.#parts.connections) {
        const isRevoked = this.#parts.isRevoked(connection.grant);
        if (isRevoked) connection.end("revoked");
        yield isRevoked ? END_STEPS : 1;
      }
      yield* this.#parts.sessions.endRevoked();
    }
    this.#isSweeping = false;
  }

  #forget(connection: Connection): void {
    const validity = this.#validities.get(connection);
    if (validity === undefined) return;
    this.#validities.delete(connection);
    this.#timers.clear(validity);
  }

  #endAttempt(connection: Connection): void {
    const attempt = this.#attempts.get(connection);
    if (attempt === undefined) return;
    this.#attempts.delete(connection);
    this.#timers.clear(attempt);
  }
}

/** Resolves with the result of a check, also where it throws or rejects. */
async function checked(checkToken: TokenCheck, token: string): Promise<Grant | TokenRefusal> {
  try {
    return await checkToken(token);
  } catch {
    return UNAVAILABLE;
  }
}

/** The check of a token, and the timer that gives it up. */
class Attempt implements QueuedTimer {
  queueIndex = NOT_QUEUED;
  dueMs = 0;
  readonly #giveUp: () => void;

  constructor(giveUp: () => void) {
    this.#giveUp = giveUp;
  }

  fire(): void {
    this.#giveUp();
  }
}

/** A time by one of the clocks, in milliseconds. */
interface Deadline {
  readonly endMs: number;
  time(): number;
}

/** Until when a connection may go on with its grant, and the timer for it. */
class Validity implements QueuedTimer {
  queueIndex = NOT_QUEUED;
  dueMs = 0;
  readonly connection: Connection;
  readonly deadline: Deadline;
  /** When the client is told that its token expires; `undefined`: not, or not any more. */
  tellMs: number | undefined;
  readonly cause: CloseCause;
  readonly #fire: (validity: Validity) => void;

  constructor(
    connection: Connection,
    deadline: Deadline,
    tellMs: number | undefined,
    cause: CloseCause,
    fire: (validity: Validity) => void,
  ) {
    this.connection = connection;
    this.deadline = deadline;
    this.tellMs = tellMs;
    this.cause = cause;
    this.#fire = fire;
  }

  fire(): void {
    this.#fire(this);
  }
}
