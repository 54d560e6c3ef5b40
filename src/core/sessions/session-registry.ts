import type { AckTrackerParts } from "../acks/ack-tracker.ts";
import { SessionAcks } from "../acks/session-acks.ts";
import { OldestFirst } from "../collections/oldest-first.ts";
import type { Audience } from "../fanout/audience.ts";
import type { AudienceRegistry } from "../fanout/audience-registry.ts";
import type { LossReason } from "../metering/ledger.ts";
import type { Meter } from "../metering/meter.ts";
import type { Clock } from "../ports/clock.ts";
import type { SubscriptionManager } from "../subscribe/subscription-manager.ts";
import { NOT_QUEUED, type QueuedTimer, type TimerQueue } from "../timing/timer-queue.ts";
import { SteppedJob, type TurnShare } from "../timing/turn-share.ts";
import { ParkedSocket } from "./parked-socket.ts";
import { Session } from "./session.ts";
import type { ClientLimits, ClientWatcher } from "./session-parts.ts";

export interface SessionOptions {
  /** So long after its connection a session is given up. */
  readonly sessionTtlMs: number;
  /** More than these are not kept without a connection. */
  readonly maxSessions: number;
  /** What waits for them, and what they have not acknowledged, is no more than this together. */
  readonly maxSessionBytes: number;
}

interface SessionRegistryParts {
  readonly limits: ClientLimits;
  readonly clock: Clock;
  readonly meter: Meter;
  readonly timers: TimerQueue;
  readonly audiences: AudienceRegistry;
  readonly subscriptions: SubscriptionManager;
  readonly turnShare: TurnShare;
  readonly acks: AckTrackerParts;
}

/** Past the bound, so much of it may stay. */
const EVICTED_TO = 0.9;
/** The steps that a session takes to be given up, and the memory of its patterns that takes another one. */
const SESSION_STEPS = 4;
const BYTES_PER_STEP = 128;

/**
 * What clients come back to in at-least-once. While a session has no connection, a client without a
 * socket stands in its place: it is in its audience, and has a queue whose policy applies.
 */
export class SessionRegistry implements ClientWatcher {
  readonly #options: SessionOptions;
  readonly #parts: SessionRegistryParts;
  readonly #byId = new Map<string, Session>();
  /** Those without a connection, the one that has been so the longest first. */
  readonly #parked = new OldestFirst<Session, Expiry>();
  /** The bytes of unacknowledged messages and of subscriptions of the parked sessions. */
  #standingBytes = 0;
  /** No more than this is kept for them: an estimate that is corrected when it reaches the bound. */
  #mostBytes = 0;

  /** Whether sessions are being given up as their bytes are too many. */
  #evicts = false;
  /** Those that are to be given up as they have had no connection for too long. */
  #expired: Session[] = [];

  constructor(options: SessionOptions, parts: SessionRegistryParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** Those who wait for their clients. */
  get parked(): Pick<OldestFirst<Session, unknown>, "size" | "keys"> {
    return this.#parked;
  }

  /** What is kept for them. */
  get bytes(): number {
    let bytes = this.#standingBytes;
    for (const client of this.#parked.keys()) bytes += client.queuedBytes;
    return bytes;
  }

  /** Whose messages are waited for, or kept, under a name. */
  get(session: string | undefined): Session | undefined {
    if (session === undefined) return undefined;
    // What is pending for it may be too much, and end it.
    this.#byId.get(session)?.audience.flush();
    return this.#byId.get(session);
  }

  /** A client begins to be sent what it must acknowledge; under a name it may come back. */
  begin(client: Session, session: string | undefined): void {
    client.acks = new SessionAcks(this.#parts.acks, client);
    if (session === undefined) return;
    client.id = session;
    this.#byId.set(session, client);
    this.#parts.meter.sessionsTotal++;
  }

  /** A client comes back, to what an earlier connection left or still has. */
  resume(client: Session, before: Session): void {
    const { id: session } = before;
    const expiry = this.#parked.get(before);
    this.#unpark(before);
    this.#parts.subscriptions.move(before, client);
    if (expiry === undefined) {
      before.end("taken_over");
    } else {
      this.#parts.audiences.forget(before.audience);
      const nowMs = this.#parts.clock.nowMs();
      // What waits is not too old because nobody was there to take it.
      client.forgivePause(nowMs - expiry.sinceMs, nowMs);
    }
    client.id = session;
    if (session !== undefined) this.#byId.set(session, client);
    this.#parts.meter.sessionsResumed++;
  }

  /** What is kept may have grown by a message of so many bytes for each. */
  grew(byteLength: number): void {
    this.#mostBytes += byteLength * this.#parked.size;
    // This sum is never less than the bytes that are kept for them: it has the queues of all clients.
    const { queuedBytes } = this.#parts.meter.ledger;
    if (queuedBytes + this.#standingBytes > this.#options.maxSessionBytes) this.#keepBounds();
  }

  /** Nobody comes back any more. */
  stop(): void {
    for (const client of [...this.#parked.keys()]) this.#giveUp(client, "stopped");
  }

  /** A client with a session that is not parked is over. */
  forget(client: Session): void {
    const { id: session } = client;
    if (session !== undefined && this.#byId.get(session) === client) this.#byId.delete(session);
  }

  /** Keeps what is a client's own when its connection ends. */
  parks(client: Session): void {
    const { id: session } = client;
    const { sessionTtlMs, maxSessions } = this.#options;
    if (session === undefined) return;
    if (sessionTtlMs === 0 || maxSessions === 0) {
      this.forget(client);
      return;
    }
    const { clock, meter, limits, audiences, subscriptions, turnShare, timers } = this.#parts;
    const { dialect, socket } = client;
    const audience = audiences.of({ dialect, compresses: false, acked: true, lists: [] });
    const parked = new Session(new ParkedSocket(socket.remoteAddress), dialect, audience, {
      limits,
      meter,
      clock,
      turnShare,
      watcher: this,
    });
    subscriptions.move(client, parked);
    parked.id = session;
    this.#byId.set(session, parked);
    const nowMs = clock.nowMs();
    const standingBytes = this.#standingBytesOf(parked);
    this.#standingBytes += standingBytes;
    const expiry = new Expiry(nowMs, standingBytes, () => this.#expires(parked));
    this.#parked.set(parked, expiry);
    meter.sessionsParked++;
    timers.set(expiry, nowMs + sessionTtlMs);
    this.#mostBytes += parked.queuedBytes + standingBytes;
    this.#keepBounds();
  }

  queues(): void {}

  hungers(): void {}

  /** Nobody is there to be told. */
  retryAfterMs(): number {
    return 0;
  }

  left(audience: Audience): void {
    this.#parts.audiences.forget(audience);
  }

  /** A parked one's policy has ended it. */
  ended(client: Session): void {
    this.#unpark(client);
    this.#settle(client);
  }

  gone(): void {}

  #keepBounds(): void {
    const { maxSessions, maxSessionBytes } = this.#options;
    for (let next = this.#parked.oldest; next !== undefined; next = this.#parked.oldest) {
      if (this.#parked.size <= maxSessions) break;
      this.#giveUp(next[0], "session_evicted");
    }
    if (this.#evicts || this.#mostBytes <= maxSessionBytes) return;
    this.#mostBytes = this.bytes;
    if (this.#mostBytes <= maxSessionBytes) return;
    this.#evicts = true;
    this.#parts.turnShare.run(this, new SteppedJob(this.#evict()));
  }

  /** Gives up the oldest sessions until some room is left, so that not each message begins this again. */
  *#evict(): Generator<number, void, void> {
    const mostBytes = this.#options.maxSessionBytes * EVICTED_TO;
    for (let next = this.#parked.oldest; next !== undefined; next = this.#parked.oldest) {
      if (this.#mostBytes <= mostBytes) break;
      const [oldest, { standingBytes }] = next;
      this.#mostBytes -= oldest.queuedBytes + standingBytes;
      const steps = this.#stepsFor(oldest);
      this.#giveUp(oldest, "session_evicted");
      yield steps;
    }
    this.#evicts = false;
  }

  /** A session has had no connection for too long. Very many may end at the same time. */
  #expires(client: Session): void {
    this.#expired.push(client);
    if (this.#expired.length > 1) return;
    this.#parts.turnShare.run(this, new SteppedJob(this.#giveUpExpired()));
  }

  *#giveUpExpired(): Generator<number, void, void> {
    for (const client of this.#expired) {
      const steps = this.#stepsFor(client);
      this.#giveUp(client, "session_expired");
      yield steps;
    }
    this.#expired = [];
  }

  /** About how many steps it takes to give a session up: its patterns are taken out of where they are filed. */
  #stepsFor(client: Session): number {
    return SESSION_STEPS + Math.ceil(this.#parts.subscriptions.memoryOf(client) / BYTES_PER_STEP);
  }

  #giveUp(client: Session, reason: LossReason): void {
    if (!this.#parked.has(client)) return;
    this.#unpark(client);
    client.forsake(reason);
    this.#settle(client);
  }

  /** The bytes that a session without a connection takes beside its queue. */
  #standingBytesOf(client: Session): number {
    return (client.acks?.memory.bytes ?? 0) + this.#parts.subscriptions.memoryOf(client);
  }

  #unpark(client: Session): void {
    const expiry = this.#parked.get(client);
    if (expiry === undefined) return;
    this.#parked.delete(client);
    this.#standingBytes -= expiry.standingBytes;
    this.#parts.timers.clear(expiry);
    this.#parts.meter.sessionsParked--;
  }

  #settle(client: Session): void {
    this.forget(client);
    this.#parts.subscriptions.forget(client);
    this.#parts.audiences.forget(client.audience);
  }
}

/** Rings when a session has been without a connection for too long. */
class Expiry implements QueuedTimer {
  queueIndex = NOT_QUEUED;
  dueMs = 0;
  readonly sinceMs: number;
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
