import type { UpstreamState } from "../../protocol/server-frames.ts";
import { type Grant, principalKey } from "../access/grant.ts";
import type { AckTrackerParts } from "../acks/ack-tracker.ts";
import { SessionAcks } from "../acks/session-acks.ts";
import type { AudienceRegistry } from "../fanout/audience-registry.ts";
import type { Meter } from "../metering/meter.ts";
import type { Clock } from "../ports/clock.ts";
import type { TurnShare } from "../timing/turn-share.ts";
import { cursorOf, type Position } from "../wire/envelope.ts";
import { unknownGap } from "../wire/gap.ts";
import type { SubscriptionRequest } from "../wire/subscription-request.ts";
import type { Connection } from "./connection.ts";
import { type DetachedSessionLimits, DetachedSessions } from "./detached-sessions.ts";
import { regrantSteps, Session, type SessionLimits, type SessionParts } from "./session.ts";
import { type WelcomeOptions, welcome } from "./welcome.ts";

export interface SessionOptions extends SessionLimits, DetachedSessionLimits, WelcomeOptions {}

/** The subscriptions of all sessions. */
export interface SessionSubscriptions {
  /** Subscribes for a client that can't send a request: it is told why not, and disconnected. */
  begin(session: Session, request: SubscriptionRequest): void;
  /** The client resumes, and may want something else than before. */
  renew(session: Session, request: SubscriptionRequest): void;
  /** The client has another grant: ends, or narrows, what that doesn't allow. */
  regrant(session: Session, grant: Grant): void;
  /** Tells a client that resumes which of its subscriptions are in effect. */
  confirm(session: Session): void;
  /** Withdraws what a client has asked for and is not in effect. */
  withdrawPending(session: Session): void;
  /** A session is over, and wants nothing more. */
  forget(session: Session): void;
  /** About how many bytes of memory the patterns of a session take. */
  memoryOf(session: Session): number;
}

interface SessionRegistryParts extends Omit<SessionParts, "limits" | "over"> {
  readonly clock: Clock;
  readonly meter: Meter;
  readonly audiences: AudienceRegistry<Session>;
  readonly turnShare: TurnShare;
  readonly subscriptions: SessionSubscriptions;
  readonly acks: AckTrackerParts;
  /** The version that clients are told. */
  readonly version: string;
  upstreamState(): UpstreamState;
  /** Whether the token of a grant is revoked. */
  isRevoked(grant: Grant): boolean;
  /** Is told when there are no sessions any more. */
  readonly emptied?: (() => void) | undefined;
  /** The position of the last message that has come. */
  last(): Position;
}

/** Begins a session for each connection, or resumes the one that the client names. */
export class SessionRegistry {
  readonly #options: SessionOptions;
  readonly #parts: SessionRegistryParts;
  readonly #sessionParts: SessionParts;
  /** By principal and name. */
  readonly #byKey = new Map<string, Session>();
  readonly #detached: DetachedSessions;
  readonly #track: (session: Session) => SessionAcks;
  #size = 0;
  /** Whether clients can resume; not when the gateway stops. */
  isOpen = true;

  constructor(options: SessionOptions, parts: SessionRegistryParts) {
    const { clock, meter, audiences, turnShare, backlogs, subscriptions, acks } = parts;
    this.#options = options;
    this.#parts = parts;
    this.#sessionParts = {
      ...{ limits: options, meter, clock, turnShare, audiences, backlogs },
      over: (session) => this.#over(session),
    };
    this.#detached = new DetachedSessions(options, {
      ...{ clock, meter, turnShare, timers: acks.timers },
      patternBytesOf: (session) => subscriptions.memoryOf(session),
    });
    this.#track = (session) => new SessionAcks(acks, session);
  }

  /** The number of sessions, with and without a connection. */
  get size(): number {
    return this.#size;
  }

  /** How many sessions have no connection. */
  get detached(): number {
    return this.#detached.size;
  }

  /** The bytes that the sessions without a connection take. */
  get detachedBytes(): number {
    return this.#detached.bytes;
  }

  /**
   * Begins or resumes the session of a new connection.
   *
   * @param request what the client wants from the beginning on.
   * @param asked the name of the session that the client resumes, or begins.
   */
  admit(connection: Connection, request?: SubscriptionRequest, asked?: string): void {
    const { grant } = connection;
    if (grant.awaitsToken) connection.pendingSessionName = asked;
    const name = grant.terms.sessions ? asked : undefined;
    const session = this.#acknowledges(connection) ? this.#find(grant, name) : undefined;
    session?.connection?.yieldSession();
    if (session?.isOver === false) this.#resume(session, connection, request);
    else this.#begin(connection, request, name);
  }

  /** Begins the session of a client that has shown its first token, or resumes the one that it named. */
  identify(connection: Connection): void {
    const { session, pendingSessionName } = connection;
    connection.pendingSessionName = undefined;
    // It has nothing: the client could not ask for anything.
    session?.finish("abandoned", "disconnected");
    if (!connection.isOver) this.admit(connection, undefined, pendingSessionName);
  }

  /** The client of a session has another grant. */
  regrant(session: Session, grant: Grant): void {
    const { id, grant: before } = session;
    const key = id === undefined ? undefined : keyOf(before, id);
    this.#parts.subscriptions.regrant(session, grant);
    if (key === undefined || session.isOver) return;
    const newKey = keyOf(grant, id as string);
    if (newKey === key) return;
    this.#byKey.delete(key);
    // Another session of the client has this name: it can't have two.
    if (this.#byKey.has(newKey)) session.id = undefined;
    else this.#byKey.set(newKey, session);
  }

  /** Keeps a session whose connection ends. @returns `false` if its client can't resume it. */
  keep(session: Session): boolean {
    if (session.id === undefined || !this.isOpen || !this.#detached.isOn) return false;
    session.detach();
    // The messages that its subscriptions handed over may have been too much for it.
    if (session.isOver) return true;
    this.#parts.subscriptions.withdrawPending(session);
    this.#detached.add(session);
    return true;
  }

  /** Messages may wait for sessions without a connection: some expire if that is too much. */
  keepBytes(): void {
    this.#detached.keepBytes();
  }

  /** Ends the sessions without a connection whose token is revoked; yields the steps that it takes to find them. */
  *endRevoked(): Generator<number, void, void> {
    yield* this.#detached.endAll(({ grant }) => this.#parts.isRevoked(grant), "revoked");
  }

  /** Gives the sessions without a connection their present grants, or ends them; yields the steps that it takes. */
  *renewDetached(renewed: (grant: Grant) => Grant | undefined): Generator<number, void, void> {
    for (const session of this.#detached.sessions) {
      const grant = renewed(session.grant);
      if (grant === undefined) this.#detached.endSoon(session, "revoked");
      if (grant === undefined || grant === session.grant) {
        yield 1;
        continue;
      }
      const steps = regrantSteps(grant, session);
      this.regrant(session, grant);
      yield steps;
    }
  }

  /** Ends the sessions without a connection. */
  endDetached(): void {
    this.#detached.stop();
  }

  /** Clients of server-sent events can't answer. */
  #acknowledges({ grant, dialect }: Connection): boolean {
    return grant.terms.deliveryMode === "at-least-once" && dialect.name !== "sse";
  }

  /**
   * Finds the session that a client may resume under a name: its own, of which it may still receive everything.
   * No other client learns that there is one.
   */
  #find(grant: Grant, id: string | undefined): Session | undefined {
    if (id === undefined) return undefined;
    const key = keyOf(grant, id);
    const session = this.#byKey.get(key);
    if (session?.isAttached === false && this.#parts.isRevoked(session.grant)) {
      session.finish("session_lost", "revoked");
    } else if (session !== undefined && !grant.mayResume(session.grant)) this.#revoke(session);
    // The pending messages may be too much for the session, and end it.
    else session?.takePending();
    return this.#byKey.get(key);
  }

  /** Ends a session with messages that its client may not receive any more, and its connection. */
  #revoke(session: Session): void {
    const { connection } = session;
    session.finish("session_lost", "session_expired");
    connection?.end("taken_over");
  }

  #begin(
    connection: Connection,
    request: SubscriptionRequest | undefined,
    asked: string | undefined,
  ): void {
    const { last, meter, subscriptions } = this.#parts;
    const acked = this.#acknowledges(connection);
    const session = new Session(connection, this.#sessionParts, acked ? this.#track : undefined);
    this.#size++;
    if (acked) {
      // A client that is told the name may resume by it; a plain client names the session itself, or can't.
      const id = asked ?? (connection.dialect.sendsNotices ? crypto.randomUUID() : undefined);
      const { grant } = connection;
      session.tell(this.#welcome(connection, grant.awaitsToken ? "" : (id ?? ""), false));
      session.id = grant.terms.sessions ? id : undefined;
      if (session.id !== undefined) {
        this.#byKey.set(keyOf(grant, session.id), session);
        meter.sessionsTotal++;
      }
      if (asked !== undefined && !grant.awaitsToken) {
        // The client was told this name by an earlier session, which is over.
        const cursor = cursorOf(last());
        session.tell(unknownGap(cursor, cursor, "session_expired"));
      }
    } else {
      const id = connection.grant.awaitsToken ? "" : crypto.randomUUID();
      session.tell(this.#welcome(connection, id));
    }
    if (request !== undefined) subscriptions.begin(session, request);
  }

  #resume(
    session: Session,
    connection: Connection,
    request: SubscriptionRequest | undefined,
  ): void {
    const { clock, meter, subscriptions } = this.#parts;
    const detachedMs = this.#detached.remove(session);
    subscriptions.withdrawPending(session);
    connection.tell([this.#welcome(connection, session.id ?? "", true)]);
    session.attach(connection);
    const nowMs = clock.nowMs();
    // The waiting messages have not become too old while there was no connection.
    if (detachedMs !== undefined) session.forgivePause(nowMs - detachedMs, nowMs);
    meter.sessionsResumed++;
    subscriptions.confirm(session);
    session.acks?.attach(session);
    if (request !== undefined) subscriptions.renew(session, request);
  }

  #over(session: Session): void {
    this.#size--;
    const { id } = session;
    const key = id === undefined ? undefined : keyOf(session.grant, id);
    if (key !== undefined && this.#byKey.get(key) === session) this.#byKey.delete(key);
    this.#detached.remove(session);
    this.#parts.subscriptions.forget(session);
    this.#parts.audiences.forget(session.audience);
    if (this.#size === 0) this.#parts.emptied?.();
  }

  #welcome({ grant }: Connection, session: string, resumed?: boolean) {
    const { version, clock, upstreamState } = this.#parts;
    const options = { ...this.#options, maxSubscriptions: grant.terms.maxSubscriptions };
    return welcome(options, version, clock, upstreamState(), { session, resumed });
  }
}

/** A session belongs to the principal that began it: the same name of another principal is another session. */
function keyOf({ terms: { principal } }: Grant, id: string): string {
  return `${id} ${principalKey(principal)}`;
}
