import type { Clock } from "../ports/clock.ts";
import type { PresenceBucket } from "../ports/presence.ts";
import type { SessionConnection } from "../sessions/session.ts";
import { NOT_QUEUED, type QueuedTimer, type TimerQueue } from "../timing/timer-queue.ts";
import { SteppedJob, type TurnShare } from "../timing/turn-share.ts";
import { entryText, fittingEntry, type PresenceEntry } from "./presence-entry.ts";

interface AnnouncementsParts {
  readonly clock: Clock;
  readonly timers: TimerQueue;
  readonly turnShare: TurnShare;
  readonly bucket: PresenceBucket;
  /** The name of this gateway in the bucket. */
  readonly gateway: string;
  /** From 0 to 1: spreads the times at which entries are written again. */
  readonly random: () => number;
  /** The minimum time between two changes of an entry. */
  readonly intervalMs: number;
  /** Entries are written again after this time at the latest. */
  readonly renewMs: number;
  /** Whether the bucket takes entries now. */
  isFresh(): boolean;
}

/** Changes of a client within this time are one. */
const TOGETHER_MS = 20;
/** About how many steps it takes to write an entry. */
const WRITE_STEPS = 8;

/** Tells other gateways, by entries in the bucket, on which subjects the clients of this gateway are. */
export class Announcements {
  readonly #parts: AnnouncementsParts;
  readonly #byId = new Map<string, Announcement>();
  /** The number of the check that has begun last: entries that were written before it have come back when it ends. */
  #round = 0;
  /** The number of entries that were written or deleted. */
  writes = 0;

  constructor(parts: AnnouncementsParts) {
    this.#parts = parts;
  }

  /** The client's subscriptions have changed, or its principal. */
  changed(connection: SessionConnection): void {
    const id = String(connection.number);
    let own = this.#byId.get(id);
    if (own === undefined) {
      own = new Announcement(id, connection, (due) => this.#run(this.#announce(due), due));
      this.#byId.set(id, own);
    }
    if (own.queueIndex !== NOT_QUEUED) return;
    const { clock, timers, intervalMs } = this.#parts;
    timers.set(own, Math.max(clock.nowMs() + TOGETHER_MS, own.writtenMs + intervalMs));
  }

  /** A client's connection has ended. */
  ended(connection: SessionConnection): void {
    const id = String(connection.number);
    const own = this.#byId.get(id);
    if (own === undefined) return;
    this.#byId.delete(id);
    this.#parts.timers.clear(own);
    if (own.text !== undefined && this.#parts.isFresh()) this.#delete(id);
  }

  /** An entry of this gateway has come back from the bucket. */
  seen(id: string, text: string | undefined): void {
    const own = this.#byId.get(id);
    if (own !== undefined) own.seenText = text;
  }

  /** The bucket may have lost everything: writes all entries, in shares of the next turns. */
  writeAll(): void {
    this.#run(this.#allAnew());
  }

  /** Begins a check. */
  beginCheck(): number {
    return ++this.#round;
  }

  /**
   * All that was written before a check began has come back: writes what hasn't, and what is old.
   *
   * @param present the entries of this gateway in the bucket.
   */
  endCheck(round: number, present: Iterable<string>): void {
    this.#run(this.#repair(round, present));
  }

  /** Deletes all entries. */
  stop(): void {
    for (const own of this.#byId.values()) {
      this.#parts.timers.clear(own);
      if (own.text !== undefined) this.#delete(own.id);
    }
    this.#byId.clear();
  }

  #run(steps: Generator<number, void, void>, owner: object = this): void {
    this.#parts.turnShare.run(owner, new SteppedJob(steps));
  }

  *#allAnew(): Generator<number, void, void> {
    for (const own of this.#byId.values()) {
      yield* this.#announce(own, true);
    }
  }

  *#repair(round: number, present: Iterable<string>): Generator<number, void, void> {
    const nowMs = this.#parts.clock.nowMs();
    for (const own of this.#byId.values()) {
      const isLost = own.round < round && own.text !== own.seenText;
      if (isLost) own.text = own.seenText;
      if (isLost || nowMs >= own.renewMs) {
        yield* this.#announce(own, true);
      } else yield 1;
    }
    for (const id of present) {
      if (!this.#byId.has(id)) this.#delete(id);
      yield 1;
    }
  }

  /** Writes the entry of a client, if it isn't what was written last, or anyway. */
  *#announce(own: Announcement, anyway = false): Generator<number, void, void> {
    // Everything is written when the bucket is back.
    if (!this.#parts.isFresh() || this.#byId.get(own.id) !== own) return;
    yield WRITE_STEPS + own.connection.grant.denied.patterns.length;
    const entry = entryOf(own.connection);
    const text = entry && entryText(entry);
    if (text === own.text && (text === undefined || !anyway)) return;
    const { clock, bucket, gateway, random, renewMs } = this.#parts;
    const nowMs = clock.nowMs();
    own.text = text;
    own.writtenMs = nowMs;
    own.round = this.#round;
    own.renewMs = nowMs + renewMs * (1 - random() / 2);
    this.writes++;
    if (text === undefined) bucket.delete(`${gateway}.${own.id}`);
    else bucket.put(`${gateway}.${own.id}`, text);
  }

  #delete(id: string): void {
    this.writes++;
    this.#parts.bucket.delete(`${this.#parts.gateway}.${id}`);
  }
}

/** The entry of a client of this gateway, and the timer for its next change. */
class Announcement implements QueuedTimer {
  queueIndex = NOT_QUEUED;
  dueMs = 0;
  readonly id: string;
  readonly connection: SessionConnection;
  /** The value that was written last; `undefined`: none, or it was deleted. */
  text: string | undefined;
  /** The value that has come back last. */
  seenText: string | undefined;
  writtenMs = Number.NEGATIVE_INFINITY;
  /** The check that had begun last when it was written. */
  round = 0;
  /** The time at which it is to be written again. */
  renewMs = Number.POSITIVE_INFINITY;
  readonly #announce: (own: Announcement) => void;

  constructor(id: string, connection: SessionConnection, announce: (own: Announcement) => void) {
    this.id = id;
    this.connection = connection;
    this.#announce = announce;
  }

  fire(): void {
    this.#announce(this);
  }
}

/** Returns what others are told of a client; `undefined` if it is subscribed to nothing. */
function entryOf({ session, grant }: SessionConnection): PresenceEntry | undefined {
  if (session === undefined || session.isOver || grant.awaitsToken) return undefined;
  const { account = "", principal } = grant.terms;
  const { patterns: denied } = grant.denied;
  return fittingEntry({ account, principal, subjects: session.patterns, denied });
}
