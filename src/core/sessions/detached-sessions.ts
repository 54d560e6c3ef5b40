import { OldestFirst } from "../collections/oldest-first.ts";
import type { LossReason } from "../metering/ledger.ts";
import type { Meter } from "../metering/meter.ts";
import type { Clock } from "../ports/clock.ts";
import { NOT_QUEUED, type QueuedTimer, type TimerQueue } from "../timing/timer-queue.ts";
import { SteppedJob, type TurnShare } from "../timing/turn-share.ts";
import type { Session } from "./session.ts";

export interface DetachedSessionLimits {
  /** A session that has been without a connection for so long expires; 0: no session is kept. */
  readonly sessionTtlMs: number;
  /** With more sessions than these without a connection, the oldest expire. */
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

/** The sessions without a connection, in the order in which they lost it: keeps their number, age and size bounded. */
export class DetachedSessions {
  readonly #limits: DetachedSessionLimits;
  readonly #parts: DetachedSessionsParts;
  readonly #all = new OldestFirst<Session, Detached>();
  /** The sum of their `standingBytes`. */
  #standingBytes = 0;
  /** They take no more bytes than this: an estimate that is corrected when it reaches the bound. */
  #mostBytes = 0;
  /** Whether sessions expire now because they take too many bytes. */
  #evicts = false;
  /** The sessions that were without a connection for too long, and expire in shares of the next turns. */
  #expired: (readonly [Session, Detached])[] = [];

  constructor(limits: DetachedSessionLimits, parts: DetachedSessionsParts) {
    this.#limits = limits;
    this.#parts = parts;
  }

  /** Whether sessions are kept at all. */
  get isKeeping(): boolean {
    return this.#limits.sessionTtlMs > 0 && this.#limits.maxSessions > 0;
  }

  get size(): number {
    return this.#all.size;
  }

  /** The bytes that they take. */
  get bytes(): number {
    let bytes = this.#standingBytes;
    for (const session of this.#all.keys()) bytes += session.queuedBytes;
    return bytes;
  }

  /** Adds a session that was detached. */
  add(session: Session): void {
    const { clock, meter, timers, patternBytesOf } = this.#parts;
    const nowMs = clock.nowMs();
    const standingBytes = (session.acks?.memory.bytes ?? 0) + patternBytesOf(session);
    const detached: Detached = new Detached(nowMs, standingBytes, () =>
      this.#expireLater(session, detached),
    );
    this.#all.set(session, detached);
    this.#standingBytes += standingBytes;
    this.#mostBytes += session.queuedBytes + standingBytes;
    meter.sessionsDetached++;
    timers.set(detached, nowMs + this.#limits.sessionTtlMs);
    this.#keepBounds();
  }

  /** Removes a session, if it is here. @returns since when it has been without a connection. */
  remove(session: Session): number | undefined {
    const detached = this.#all.get(session);
    if (detached === undefined) return undefined;
    this.#all.delete(session);
    this.#standingBytes -= detached.standingBytes;
    this.#parts.timers.clear(detached);
    this.#parts.meter.sessionsDetached--;
    return detached.sinceMs;
  }

  /** Each session may have grown by a message of so many bytes. */
  grew(byteLength: number): void {
    this.#mostBytes += byteLength * this.#all.size;
    // This sum is never less than the bytes that they take: it has the backlogs of all sessions.
    const { queuedBytes } = this.#parts.meter.ledger;
    if (queuedBytes + this.#standingBytes > this.#limits.maxSessionBytes) this.#keepBounds();
  }

  /** Ends the sessions for which this is true; yields the steps that it takes. */
  *endAll(
    isEnded: (session: Session) => boolean,
    reason: LossReason,
  ): Generator<number, void, void> {
    for (const session of this.#all.keys()) {
      // It may have been resumed in the meantime, or ended.
      const ends = this.#all.get(session) !== undefined && isEnded(session);
      const steps = ends ? this.#stepsFor(session) : 1;
      if (ends) this.#expire(session, reason);
      yield steps;
    }
  }

  /** The gateway stops: no client can resume any more. */
  stop(): void {
    for (const session of [...this.#all.keys()]) this.#expire(session, "stopped");
    // The work in later turns may be dropped, and must not count as under way after the next start.
    this.#expired = [];
    this.#evicts = false;
  }

  #keepBounds(): void {
    const { maxSessions, maxSessionBytes } = this.#limits;
    for (let next = this.#all.oldest; next !== undefined; next = this.#all.oldest) {
      if (this.#all.size <= maxSessions) break;
      this.#expire(next[0], "session_evicted");
    }
    if (this.#evicts || this.#mostBytes <= maxSessionBytes) return;
    this.#mostBytes = this.bytes;
    if (this.#mostBytes <= maxSessionBytes) return;
    this.#evicts = true;
    this.#parts.turnShare.run(this, new SteppedJob(this.#evict()));
  }

  /** Ends the oldest sessions until some room is left, so that not each message begins this again. */
  *#evict(): Generator<number, void, void> {
    const mostBytes = this.#limits.maxSessionBytes * EVICTED_TO;
    for (let next = this.#all.oldest; next !== undefined; next = this.#all.oldest) {
      if (this.#mostBytes <= mostBytes) break;
      const [oldest, { standingBytes }] = next;
      this.#mostBytes -= oldest.queuedBytes + standingBytes;
      const steps = this.#stepsFor(oldest);
      this.#expire(oldest, "session_evicted");
      yield steps;
    }
    this.#evicts = false;
  }

  /** A session was without a connection for too long. Very many may be so at the same time. */
  #expireLater(session: Session, detached: Detached): void {
    this.#expired.push([session, detached]);
    if (this.#expired.length > 1) return;
    this.#parts.turnShare.run(this, new SteppedJob(this.#expireAll()));
  }

  *#expireAll(): Generator<number, void, void> {
    const expired = this.#expired;
    for (const [session, detached] of expired) {
      // Its client may have resumed it in the meantime, and lost the connection again.
      if (this.#all.get(session) !== detached) continue;
      const steps = this.#stepsFor(session);
      this.#expire(session, "session_expired");
      yield steps;
    }
    if (this.#expired === expired) this.#expired = [];
  }

  /** Returns about how many steps it takes to end a session: its patterns are taken out of where they are filed. */
  #stepsFor(session: Session): number {
    return SESSION_STEPS + Math.ceil(this.#parts.patternBytesOf(session) / BYTES_PER_STEP);
  }

  #expire(session: Session, reason: LossReason): void {
    if (this.remove(session) !== undefined) session.expire("session_lost", reason);
  }
}

/** A session without a connection, and the timer that ends it. */
class Detached implements QueuedTimer {
  queueIndex = NOT_QUEUED;
  dueMs = 0;
  readonly sinceMs: number;
  /** The bytes of unacknowledged messages and of patterns. */
  readonly standingBytes: number;
  readonly #expire: () => void;

  constructor(sinceMs: number, standingBytes: number, expire: () => void) {
    this.sinceMs = sinceMs;
    this.standingBytes = standingBytes;
    this.#expire = expire;
  }

  fire(): void {
    this.#expire();
  }
}
