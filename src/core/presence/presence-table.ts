import { ANONYMOUS, isSamePrincipal } from "../access/grant.ts";
import { OldestFirst } from "../collections/oldest-first.ts";
import type { Clock } from "../ports/clock.ts";
import { NOT_QUEUED, type QueuedTimer, type TimerQueue } from "../timing/timer-queue.ts";
import { isSameList, type PresenceEntry } from "./presence-entry.ts";

export interface PresenceTableOptions {
  /** A gateway that is silent for so long is gone, and so are its connections. */
  readonly presenceTtlMs: number;
  /** A client whose connection has ended counts as present for so long. */
  readonly presenceGraceMs: number;
  /** The most connections of all gateways. */
  readonly maxPresenceEntries: number;
}

/** A connection of some gateway that counts as present. */
export interface PresentConnection {
  readonly gateway: string;
  readonly id: string;
  /** Its last entry: all of them are of the same client. */
  entry: PresenceEntry;
  /** The entry that the watches know of; `undefined`: none yet, or it is gone. */
  shown: PresenceEntry | undefined;
}

/** Is told how the table changes. Returns at once. */
export interface PresenceTableListener {
  /** A connection is there, has another entry than before, or is gone and its time of grace is over. */
  changed(connection: PresentConnection): void;
}

interface PresenceTableParts {
  readonly clock: Clock;
  readonly timers: TimerQueue;
  readonly listener: PresenceTableListener;
  /** Whether what the bucket says arrives now; if not, nobody is held to be gone. */
  isFresh(): boolean;
}

interface Row extends PresentConnection {
  writtenMs: number;
}

/**
 * An entry is written again this many times less often than a gateway says that it is alive. An entry that isn't
 * written again for as many lives of a gateway is gone: that it was deleted was missed.
 */
export const ENTRY_LIVES = 10;
/** The most connections that are handled in one turn of the event loop. */
const PER_TURN = 1000;

/**
 * The connections of all gateways, as the bucket has them. A connection whose gateway is silent is gone. A client with a
 * name is kept for the time of grace after its connection has ended, as it may reconnect.
 */
export class PresenceTable {
  readonly #options: PresenceTableOptions;
  readonly #parts: PresenceTableParts;
  readonly #gateways = new Map<string, Gateway>();
  /** All connections, those that are leaving included. */
  readonly #all = new Set<PresentConnection>();
  /** The connections that have ended, with the time at which their grace is over. */
  readonly #leaving = new OldestFirst<PresentConnection, number>();
  readonly #leaves: Alarm;
  /** Since when what the bucket says arrives without a pause; `undefined`: it doesn't. */
  #freshSinceMs: number | undefined;
  #wasFresh = false;
  /** The number of entries that were left out because the table was full. */
  omitted = 0;

  constructor(options: PresenceTableOptions, parts: PresenceTableParts) {
    this.#options = options;
    this.#parts = parts;
    this.#leaves = new Alarm((nowMs) => this.#endGrace(nowMs));
  }

  /** All connections that count as present. Others may come and go while they are read. */
  get all(): ReadonlySet<PresentConnection> {
    return this.#all;
  }

  get isFull(): boolean {
    return this.#all.size >= this.#options.maxPresenceEntries;
  }

  /** The names of a gateway's connections. */
  idsOf(gateway: string): Iterable<string> {
    return this.#gateways.get(gateway)?.rows.keys() ?? [];
  }

  /**
   * A gateway says that it is alive.
   *
   * @param madeMs when, by the clock of NATS.
   */
  alive(name: string, madeMs: number): void {
    const gateway = this.#gatewayOf(name);
    gateway.madeMs = madeMs;
    if (this.#freshSinceMs === undefined) return;
    const nowMs = this.#parts.clock.nowMs();
    this.#parts.timers.set(gateway.silence, nowMs + this.#options.presenceTtlMs);
    this.#removeUnwritten(gateway, nowMs);
  }

  /** A gateway has stopped. */
  stopped(name: string): void {
    const gateway = this.#gateways.get(name);
    if (gateway !== undefined) this.#silent(gateway);
  }

  /** A gateway has written the entry of a connection. */
  put(name: string, id: string, entry: PresenceEntry, madeMs: number): void {
    const gateway = this.#gatewayOf(name);
    const writtenMs = this.#parts.clock.nowMs();
    const row = gateway.rows.get(id);
    const isSameClient = row !== undefined && isOfSameClient(row.entry, entry);
    if (row !== undefined && !isSameClient) this.#remove(row);
    if (row !== undefined && isSameClient) {
      const before = row.entry;
      row.writtenMs = writtenMs;
      if (isSameList(before.subjects, entry.subjects) && isSameList(before.denied, entry.denied))
        return;
      row.entry = entry;
      this.#parts.listener.changed(row);
    } else if (this.isFull) {
      this.omitted++;
    } else {
      const added = { gateway: name, id, entry, shown: undefined, writtenMs };
      gateway.rows.set(id, added);
      this.#all.add(added);
      this.#parts.listener.changed(added);
    }
    if (gateway.silence.queueIndex === NOT_QUEUED) this.alive(name, madeMs);
  }

  /** A gateway has deleted the entry of a connection: the connection has ended. */
  delete(name: string, id: string): void {
    const gateway = this.#gateways.get(name);
    const row = gateway?.rows.get(id);
    if (gateway !== undefined && row !== undefined) this.#end(gateway, row);
  }

  /** The bucket's changes don't arrive any more: everything stays as it is. */
  freeze(): void {
    this.#freshSinceMs = undefined;
    const { timers } = this.#parts;
    for (const { silence } of this.#gateways.values()) timers.clear(silence);
    timers.clear(this.#leaves);
  }

  /**
   * Everything that the bucket has was read, and what it says arrives from now on.
   *
   * @param madeMs the time now, by the clock of NATS.
   */
  thaw(madeMs: number): void {
    const { clock, timers } = this.#parts;
    const { presenceTtlMs, presenceGraceMs } = this.#options;
    const nowMs = clock.nowMs();
    this.#freshSinceMs = nowMs;
    for (const gateway of this.#gateways.values()) {
      // A gateway that was there before the pause may need time to come back; others left their entries behind.
      const silentMs = this.#wasFresh ? 0 : Math.max(0, madeMs - gateway.madeMs);
      timers.set(gateway.silence, nowMs + presenceTtlMs - silentMs);
    }
    this.#wasFresh = true;
    for (const connection of [...this.#leaving.keys()]) {
      this.#leaving.set(connection, nowMs + presenceGraceMs);
    }
    this.#awaitLeaves();
  }

  #gatewayOf(name: string): Gateway {
    let gateway = this.#gateways.get(name);
    if (gateway === undefined) {
      const made: Gateway = {
        name,
        madeMs: 0,
        rows: new Map(),
        silence: new Alarm(() => {
          if (this.#parts.isFresh()) this.#silent(made);
        }),
        unwritten: new Alarm((nowMs) => this.#removeUnwritten(made, nowMs)),
      };
      gateway = made;
      this.#gateways.set(name, gateway);
    }
    return gateway;
  }

  /** A gateway is gone. Its connections end, some in each turn. */
  #silent(gateway: Gateway): void {
    const { timers, clock } = this.#parts;
    let left = PER_TURN;
    for (const row of gateway.rows.values()) {
      if (left-- === 0) {
        timers.set(gateway.silence, clock.nowMs());
        return;
      }
      this.#end(gateway, row);
    }
    timers.clear(gateway.silence);
    this.#gateways.delete(gateway.name);
  }

  /** The deletion of an entry that wasn't written again was missed. Such connections end, some in each turn. */
  #removeUnwritten(gateway: Gateway, nowMs: number): void {
    const sinceMs = nowMs - ENTRY_LIVES * this.#options.presenceTtlMs;
    if ((this.#freshSinceMs ?? nowMs) > sinceMs) return;
    let left = PER_TURN;
    for (const row of gateway.rows.values()) {
      if (row.writtenMs >= sinceMs) continue;
      if (left-- === 0) {
        this.#parts.timers.set(gateway.unwritten, nowMs);
        return;
      }
      this.#end(gateway, row);
    }
  }

  #end(gateway: Gateway, row: Row): void {
    gateway.rows.delete(row.id);
    const { presenceGraceMs } = this.#options;
    // An anonymous client that reconnects can't be known again.
    if (presenceGraceMs === 0 || isSamePrincipal(row.entry.principal, ANONYMOUS)) this.#remove(row);
    else {
      this.#leaving.set(row, this.#parts.clock.nowMs() + presenceGraceMs);
      this.#awaitLeaves();
    }
  }

  #endGrace(nowMs: number): void {
    if (!this.#parts.isFresh()) return;
    for (let left = PER_TURN; left > 0; left--) {
      const [connection, dueMs] = this.#leaving.oldest ?? [];
      if (connection === undefined || (dueMs as number) > nowMs) break;
      this.#leaving.delete(connection);
      this.#remove(connection);
    }
    this.#awaitLeaves();
  }

  #awaitLeaves(): void {
    const [, dueMs] = this.#leaving.oldest ?? [];
    if (dueMs === undefined || this.#freshSinceMs === undefined) return;
    if (this.#leaves.queueIndex === NOT_QUEUED) this.#parts.timers.set(this.#leaves, dueMs);
  }

  #remove(connection: PresentConnection): void {
    this.#all.delete(connection);
    this.#parts.listener.changed(connection);
  }
}

interface Gateway {
  readonly name: string;
  /** The last time that it said that it is alive, by the clock of NATS. */
  madeMs: number;
  readonly rows: Map<string, Row>;
  /** Fires when it is silent for too long. */
  readonly silence: Alarm;
  /** Fires when more entries are to be looked at that weren't written again. */
  readonly unwritten: Alarm;
}

/** A timer that calls a function. */
export class Alarm implements QueuedTimer {
  queueIndex = NOT_QUEUED;
  dueMs = 0;
  readonly fire: (nowMs: number) => void;

  constructor(fire: (nowMs: number) => void) {
    this.fire = fire;
  }
}

function isOfSameClient(one: PresenceEntry, other: PresenceEntry): boolean {
  return one.account === other.account && isSamePrincipal(one.principal, other.principal);
}
