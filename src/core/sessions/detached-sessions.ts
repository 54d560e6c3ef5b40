import { ANONYMOUS, isSamePrincipal } from "../access/grant.ts";
import { OldestFirst } from "../collections/oldest-first.ts";
import { type Place, Ranking } from "../collections/ranking.ts";
import type { LossReason } from "../metering/ledger.ts";
import type { Meter } from "../metering/meter.ts";
import type { Clock } from "../ports/clock.ts";
import { NOT_QUEUED, type QueuedTimer, type TimerQueue } from "../timing/timer-queue.ts";
import { SteppedJob, type TurnShare } from "../timing/turn-share.ts";
import { WorkQueue } from "../timing/work-queue.ts";
import type { ConnectionCountLimits } from "./connection-counts.ts";
import type { Session, SessionKeeper } from "./session.ts";

/** A user has no more sessions without a connection than it may have connections. */
export interface DetachedSessionLimits extends ConnectionCountLimits {
  /** A session that has been without a connection for so long expires; 0: no session is kept. */
  readonly sessionTtlMs: number;
  /** With more sessions than these without a connection, the oldest one of the user that has the most expires. */
  readonly maxSessions: number;
  /** The most bytes that wait for them, are unacknowledged or are their patterns', all together. */
  readonly maxSessionBytes: number;
}

interface DetachedSessionsParts {
  readonly clock: Clock;
  readonly meter: Meter;
  readonly timers: TimerQueue;
  readonly turnShare: TurnShare;
  /** About how many bytes of memory the patterns of a session take. */
  patternBytesOf(session: Session): number;
}

/** Past the bound, sessions expire until no more than this part of it is used. */
const EVICTED_TO = 0.9;
/** The steps that it takes to end a session, and the bytes of its patterns that take another one. */
const SESSION_STEPS = 4;
const BYTES_PER_STEP = 128;

/**
 * The sessions without a connection: keeps their number, age and size bounded. Room is made by the user that takes the
 * most of it, so that no user loses a session because of what another one keeps.
 */
export class DetachedSessions {
  readonly #limits: DetachedSessionLimits;
  readonly #parts: DetachedSessionsParts;
  readonly #all = new OldestFirst<Session, Detached>();
  readonly #users = new Map<string, User>();
  readonly #byCount = new Ranking<User>((one, other) => one.hasMoreThan(other));
  readonly #byBytes = new Ranking<User>((one, other) => one.takesMoreThan(other));
  /** The bytes that they take. */
  #bytes = 0;
  /** Whether sessions expire now because they take too many bytes. */
  #evicts = false;
  /** Very many sessions may expire at the same time, or belong to tokens that are revoked. */
  readonly #ending: WorkQueue<Detached>;
  /** Counts the sessions that were added. */
  #added = 0;
  readonly #events: DetachedEvents = {
    expires: (detached) => this.#ending.add(detached),
    changed: (detached) => this.#measure(detached),
  };

  constructor(limits: DetachedSessionLimits, parts: DetachedSessionsParts) {
    this.#limits = limits;
    this.#parts = parts;
    this.#ending = new WorkQueue(parts.turnShare, (detached) => this.#end(detached));
  }

  /** Whether the configuration lets any session outlive its connection. */
  get isOn(): boolean {
    return this.#limits.sessionTtlMs > 0 && this.#limits.maxSessions > 0;
  }

  get size(): number {
    return this.#all.size;
  }

  /** The bytes that they take. */
  get bytes(): number {
    return this.#bytes;
  }

  get sessions(): Iterable<Session> {
    return this.#all.keys();
  }

  /** Adds a session that was detached. */
  add(session: Session): void {
    const { clock, meter, timers, patternBytesOf } = this.#parts;
    const nowMs = clock.nowMs();
    const standingBytes = (session.acks?.memory.bytes ?? 0) + patternBytesOf(session);
    const user = this.#userOf(session);
    const order = ++this.#added;
    const detached = new Detached(
      { session, user, order, sinceMs: nowMs, standingBytes },
      this.#events,
    );
    this.#all.set(session, detached);
    user.sessions.set(session, detached);
    session.keeper = detached;
    this.#measure(detached);
    this.#byCount.moved(user.countPlace);
    meter.sessionsDetached++;
    timers.set(detached, nowMs + this.#limits.sessionTtlMs);
    this.#keepCounts(user);
    this.keepBytes();
  }

  /** Removes a session, if it is here. @returns since when it has been without a connection. */
  remove(session: Session): number | undefined {
    const detached = this.#all.get(session);
    if (detached === undefined) return undefined;
    const { user, sinceMs, bytes } = detached;
    this.#all.delete(session);
    session.keeper = undefined;
    this.#bytes -= bytes;
    user.bytes -= bytes;
    user.sessions.delete(session);
    if (user.sessions.size === 0) this.#forget(user);
    else {
      this.#byCount.moved(user.countPlace);
      this.#byBytes.moved(user.bytesPlace);
    }
    this.#parts.timers.clear(detached);
    this.#parts.meter.sessionsDetached--;
    return sinceMs;
  }

  /** Sessions expire if they take too many bytes. */
  keepBytes(): void {
    if (this.#evicts || this.#bytes <= this.#limits.maxSessionBytes) return;
    this.#evicts = true;
    this.#parts.turnShare.run(this, new SteppedJob(this.#evict()));
  }

  /** Ends the sessions for which this is true; yields the steps that it takes to find them. */
  *endAll(
    isEnded: (session: Session) => boolean,
    reason: LossReason,
  ): Generator<number, void, void> {
    for (const session of this.#all.keys()) {
      if (isEnded(session)) this.endSoon(session, reason);
      yield 1;
    }
  }

  /** Ends a session in its turn, unless its client resumes it before. */
  endSoon(session: Session, reason: LossReason): void {
    const detached = this.#all.get(session);
    if (detached === undefined) return;
    detached.endReason = reason;
    this.#ending.add(detached);
  }

  /** The gateway stops: no client can resume any more. */
  stop(): void {
    for (const session of [...this.#all.keys()]) this.#finish(session, "stopped");
    // The work in later turns may be dropped, and must not count as under way after the next start.
    this.#ending.clear();
    this.#evicts = false;
  }

  #userOf(session: Session): User {
    const { userKey } = session;
    const known = this.#users.get(userKey);
    if (known !== undefined) return known;
    const { maxClientsPerAddress, maxClientsPerSub } = this.#limits;
    const isAnonymous = isSamePrincipal(session.grant.terms.principal, ANONYMOUS);
    const maxSessions = isAnonymous ? maxClientsPerAddress : maxClientsPerSub;
    const user = new User(userKey, this.#byCount, this.#byBytes, maxSessions);
    this.#users.set(userKey, user);
    return user;
  }

  #forget(user: User): void {
    this.#users.delete(user.key);
    this.#byCount.remove(user.countPlace);
    this.#byBytes.remove(user.bytesPlace);
  }

  /** The bytes of a session may have changed. */
  #measure(detached: Detached): void {
    const { session, user, standingBytes } = detached;
    const bytes = session.queuedBytes + standingBytes;
    const change = bytes - detached.bytes;
    if (change === 0) return;
    detached.bytes = bytes;
    this.#bytes += change;
    user.bytes += change;
    this.#byBytes.moved(user.bytesPlace);
  }

  /** A user has another session. */
  #keepCounts(user: User): void {
    if (user.hasTooMany) this.#evictOldestOf(user);
    const most = this.#byCount.first;
    if (most !== undefined && this.#all.size > this.#limits.maxSessions) this.#evictOldestOf(most);
  }

  /** Ends sessions until some room is left, so that not each message begins this again. */
  *#evict(): Generator<number, void, void> {
    const mostBytes = this.#limits.maxSessionBytes * EVICTED_TO;
    try {
      for (let user = this.#byBytes.first; user !== undefined; user = this.#byBytes.first) {
        if (this.#bytes <= mostBytes) break;
        yield this.#evictOldestOf(user);
      }
    } finally {
      this.#evicts = false;
    }
  }

  /** @returns about how many steps it took. */
  #evictOldestOf(user: User): number {
    const [oldest] = user.sessions.oldest as readonly [Session, Detached];
    const steps = this.#stepsFor(oldest);
    this.#finish(oldest, "session_evicted");
    return steps;
  }

  #end(detached: Detached): number {
    const { session, endReason } = detached;
    // Its client may have resumed it in the meantime, and lost the connection again.
    if (this.#all.get(session) !== detached) return 1;
    const steps = this.#stepsFor(session);
    this.#finish(session, endReason);
    return steps;
  }

  /** Returns about how many steps it takes to end a session: its patterns are taken out of where they are filed. */
  #stepsFor(session: Session): number {
    return SESSION_STEPS + Math.ceil(this.#parts.patternBytesOf(session) / BYTES_PER_STEP);
  }

  #finish(session: Session, reason: LossReason): void {
    if (this.remove(session) !== undefined) session.finish("session_lost", reason);
  }
}

/** The sessions of a user, or of the anonymous clients of one address. */
class User {
  readonly key: string;
  readonly sessions = new OldestFirst<Session, Detached>();
  bytes = 0;
  readonly countPlace: Place<User>;
  readonly bytesPlace: Place<User>;
  readonly #maxSessions: number;

  constructor(
    key: string,
    byCount: Ranking<User>,
    byBytes: Ranking<User>,
    maxSessions = Number.POSITIVE_INFINITY,
  ) {
    this.key = key;
    this.#maxSessions = maxSessions;
    this.countPlace = byCount.add(this);
    this.bytesPlace = byBytes.add(this);
  }

  get hasTooMany(): boolean {
    return this.sessions.size > this.#maxSessions;
  }

  /** Whether it has more sessions than another one, or as many and the oldest one. */
  hasMoreThan(other: User): boolean {
    if (this.sessions.size !== other.sessions.size) return this.sessions.size > other.sessions.size;
    return this.#oldest < other.#oldest;
  }

  takesMoreThan(other: User): boolean {
    return this.bytes > other.bytes;
  }

  get #oldest(): number {
    return this.sessions.oldest?.[1].order ?? Number.POSITIVE_INFINITY;
  }
}

interface DetachedEvents {
  /** The time of a session is over. */
  expires(detached: Detached): void;
  /** The bytes of a session may have changed. */
  changed(detached: Detached): void;
}

/** A session without a connection, and the timer that ends it. */
class Detached implements QueuedTimer, SessionKeeper {
  queueIndex = NOT_QUEUED;
  dueMs = 0;
  /** The cause with which the session ends if it isn't resumed before. */
  endReason: LossReason = "session_expired";
  readonly session: Session;
  readonly user: User;
  /** Its place in the order in which the sessions lost their connections. */
  readonly order: number;
  readonly sinceMs: number;
  /** The bytes of unacknowledged messages and of patterns. */
  readonly standingBytes: number;
  /** The bytes that are counted for it. */
  bytes = 0;
  readonly #events: DetachedEvents;

  constructor(
    {
      session,
      user,
      order,
      sinceMs,
      standingBytes,
    }: Pick<Detached, "session" | "user" | "order" | "sinceMs" | "standingBytes">,
    events: DetachedEvents,
  ) {
    this.session = session;
    this.user = user;
    this.order = order;
    this.sinceMs = sinceMs;
    this.standingBytes = standingBytes;
    this.#events = events;
  }

  fire(): void {
    this.#events.expires(this);
  }

  changed(): void {
    this.#events.changed(this);
  }
}
