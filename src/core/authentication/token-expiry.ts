import type { CloseCause } from "../../protocol/close-codes.ts";
import type { Clock } from "../ports/clock.ts";
import { type Connection, END_STEPS } from "../sessions/connection.ts";
import { NOT_QUEUED, type QueuedTimer, type TimerQueue } from "../timing/timer-queue.ts";
import type { TurnShare } from "../timing/turn-share.ts";
import { WorkQueue } from "../timing/work-queue.ts";

interface TokenExpiryParts {
  readonly clock: Clock;
  readonly timers: TimerQueue;
  readonly turnShare: TurnShare;
  /** From 0 to 1: spreads the times at which clients are told that their token expires. */
  readonly random: () => number;
}

/** A timer is set again after this time: the wall clock may be changed, and longer timers may not fit into the runtime's. */
const LONGEST_WAIT_MS = 60_000;
/** A client is told that its token expires when between these parts of the token's life are left. */
const EXPIRING_FROM = 1 / 5;
const EXPIRING_TO = 1 / 10;

/** Tells clients that their token expires, and ends the connections whose token has expired or was never shown. */
export class TokenExpiry {
  readonly #parts: TokenExpiryParts;
  readonly #validities = new Map<Connection, Validity>();
  /** Very many tokens may expire at the same time. */
  readonly #expired: WorkQueue<Validity>;

  constructor(parts: TokenExpiryParts) {
    this.#parts = parts;
    this.#expired = new WorkQueue(parts.turnShare, (validity) => this.#end(validity));
  }

  /** Ends a connection without a token, unless it is watched because of a token by then. */
  awaitToken(connection: Connection, timeoutMs: number): void {
    const { clock } = this.#parts;
    const deadline = { time: () => clock.nowMs(), endMs: clock.nowMs() + timeoutMs };
    this.#set(new Validity(connection, deadline, undefined, "unauthenticated", this.#fire));
  }

  /** Tells the client before its grant ends, and ends the connection then. */
  watch(connection: Connection): void {
    this.forget(connection);
    const { token } = connection.grant.terms;
    if (token === undefined || token.expiresAtMs === Number.POSITIVE_INFINITY) return;
    const { clock, random } = this.#parts;
    const { expiresAtMs, issuedAtMs } = token;
    const nowMs = clock.wallMs();
    const sinceMs = Number.isFinite(issuedAtMs) ? Math.min(issuedAtMs, nowMs) : nowMs;
    const part = EXPIRING_TO + random() * (EXPIRING_FROM - EXPIRING_TO);
    const isTold = connection.dialect.name === "v1";
    const tellMs = isTold ? expiresAtMs - (expiresAtMs - sinceMs) * part : undefined;
    const deadline = { time: () => clock.wallMs(), endMs: expiresAtMs };
    this.#set(new Validity(connection, deadline, tellMs, "token_expired", this.#fire));
  }

  /** Watches a connection no more. */
  forget(connection: Connection): void {
    const validity = this.#validities.get(connection);
    if (validity === undefined) return;
    this.#validities.delete(connection);
    this.#parts.timers.clear(validity);
  }

  stop(): void {
    this.#validities.clear();
    this.#expired.clear();
  }

  #set(validity: Validity): void {
    this.#validities.set(validity.connection, validity);
    this.#schedule(validity);
  }

  #schedule(validity: Validity): void {
    const { clock, timers } = this.#parts;
    const { tellMs, deadline } = validity;
    const leftMs = (tellMs ?? deadline.endMs) - deadline.time();
    timers.set(validity, clock.nowMs() + Math.min(leftMs, LONGEST_WAIT_MS));
  }

  readonly #fire = (validity: Validity): void => {
    const { connection, deadline } = validity;
    const nowMs = deadline.time();
    if (deadline.endMs <= nowMs) {
      this.#expired.add(validity);
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

  #end(validity: Validity): number {
    const { connection, cause } = validity;
    // The client may have sent a new token in the meantime.
    if (this.#validities.get(connection) !== validity) return 1;
    connection.end(cause);
    return END_STEPS;
  }
}

/** A time by one of the clocks, in milliseconds. */
interface Deadline {
  readonly endMs: number;
  time(): number;
}

/** The time at which a connection's grant ends, and the timer for it. */
class Validity implements QueuedTimer {
  queueIndex = NOT_QUEUED;
  dueMs = 0;
  readonly connection: Connection;
  readonly deadline: Deadline;
  /** The time at which the client is told that its token expires; `undefined`: not, or not any more. */
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
