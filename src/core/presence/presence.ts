import type { Refusal } from "../access/refusal.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { PresenceBucket } from "../ports/presence.ts";
import type { SessionConnection } from "../sessions/session.ts";
import { LogLimit } from "../timing/log-limit.ts";
import { TimerQueue } from "../timing/timer-queue.ts";
import type { TurnShare } from "../timing/turn-share.ts";
import { Announcements } from "./announcements.ts";
import { readEntry } from "./presence-entry.ts";
import { Alarm, ENTRY_LIVES, PresenceTable, type PresenceTableOptions } from "./presence-table.ts";
import {
  PresenceWatches,
  type PresenceWatchOptions,
  type WatchRequest,
} from "./presence-watches.ts";

export interface PresenceOptions extends PresenceTableOptions, PresenceWatchOptions {}

interface PresenceParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly turnShare: TurnShare;
  readonly bucket: PresenceBucket;
  /** From 0 to 1: spreads what all gateways and clients do. */
  readonly random: () => number;
}

/** The figures of presence for metrics, stats and health. */
export interface PresenceFigures {
  /** Connections of all gateways that count as present. */
  readonly connections: number;
  /** Entries that were left out because there are `max_presence_entries`. */
  readonly omitted: number;
  /** Watches of this gateway's clients. */
  readonly watches: number;
  /** Entries of this gateway's clients that were written or deleted. */
  readonly writes: number;
  /** Whether what is known may be wrong: the bucket can't be read or written, or loses entries too soon. */
  readonly isStale: boolean;
}

/** A gateway says this many times in an entry's life that it is alive. */
const BEATS = 3;
/** If what a gateway has written doesn't come back, it is written again after this time. */
const RETRY_MS = 1000;
/** Minimum time between two log lines about keys that can't be read. */
const LOG_INTERVAL_MS = 10_000;

const decoder = new TextDecoder();

/**
 * Knows who is on which subjects, on all gateways. Each gateway writes an entry for each of its connections into a bucket,
 * under `<gateway>.<connection>`, and says under `<gateway>` again and again that it is alive. All of them read the
 * bucket. What a gateway has written comes back to it, in the order of the bucket: by that it knows that it has read
 * everything, and that the others can.
 */
export class Presence {
  readonly #options: PresenceOptions;
  readonly #parts: PresenceParts;
  readonly #timers: TimerQueue;
  readonly #table: PresenceTable;
  readonly #watches: PresenceWatches;
  readonly #announcements: Announcements;
  readonly #logLimit: LogLimit<"key">;
  /** No gateway of another run has this name. */
  readonly #gateway = crypto.randomUUID().replaceAll("-", "").slice(0, 16);
  readonly #beat = new Alarm(() => this.#sayAlive());
  #isConnected = false;
  /** Whether everything was read, and what is written comes back. */
  #isFresh = false;
  /** Whether the bucket keeps entries as long as they are needed. */
  #isLasting = true;
  /** The number of the last sign of life that was written. */
  #lastBeat = 0;
  /** The number of the first one that was written since the bucket was lost: earlier ones prove nothing. */
  #firstBeat = 1;
  /** The time at which one came back last. */
  #heardMs = 0;

  constructor(options: PresenceOptions, parts: PresenceParts) {
    const { clock, turnShare, bucket, random } = parts;
    this.#options = options;
    this.#parts = parts;
    this.#timers = new TimerQueue(clock);
    this.#logLimit = new LogLimit(clock, LOG_INTERVAL_MS);
    this.#watches = new PresenceWatches(options, {
      ...{ clock, turnShare, timers: this.#timers },
      present: () => this.#table.all,
      isStale: () => this.#isStale,
    });
    const isFresh = (): boolean => this.#checkFresh();
    this.#table = new PresenceTable(options, {
      ...{ clock, timers: this.#timers, isFresh, listener: this.#watches },
    });
    this.#announcements = new Announcements({
      ...{ clock, turnShare, timers: this.#timers, bucket, random, isFresh },
      gateway: this.#gateway,
      intervalMs: options.presenceIntervalMs,
      renewMs: (ENTRY_LIVES * options.presenceTtlMs) / 2,
    });
  }

  get figures(): PresenceFigures {
    return {
      connections: this.#table.all.size,
      omitted: this.#table.omitted,
      watches: this.#watches.size,
      writes: this.#announcements.writes,
      isStale: this.#isStale,
    };
  }

  /** The connection to the bucket was made, or lost. */
  connected(isConnected: boolean): void {
    if (isConnected === this.#isConnected) return;
    this.#isConnected = isConnected;
    this.#lose();
    if (isConnected) this.#sayAlive();
    else this.#timers.clear(this.#beat);
  }

  /**
   * A key of the bucket was written or deleted.
   *
   * @param data `undefined` if it was deleted.
   * @param madeMs when, in Unix milliseconds by the clock of NATS.
   */
  changed(key: string, data: Uint8Array | undefined, madeMs: number): void {
    const [gateway = "", id, ...others] = key.split(".");
    if (others.length > 0) this.#unreadable(key);
    else if (id === undefined) this.#heard(gateway, data, madeMs);
    else {
      if (gateway === this.#gateway) {
        this.#announcements.seen(id, data && decoder.decode(data));
      }
      const entry = data && readEntry(data);
      if (entry !== undefined) this.#table.put(gateway, id, entry, madeMs);
      else this.#table.delete(gateway, id);
      if (data !== undefined && entry === undefined) this.#unreadable(key);
    }
  }

  /**
   * The bucket was looked at.
   *
   * @param isLongEnough whether it keeps entries as long as they are needed: otherwise it may lack those of clients that
   * are there, and a gateway that reads it from the beginning doesn't count them.
   */
  lifeChecked(isLongEnough: boolean): void {
    if (isLongEnough === this.#isLasting) return;
    this.#isLasting = isLongEnough;
    if (isLongEnough && this.#isFresh) this.#announcements.writeAll();
    this.#watches.staleChanged();
  }

  /** The client's subscriptions have changed, or its grant. */
  clientChanged(connection: SessionConnection): void {
    this.#announcements.changed(connection);
    this.#watches.check(connection);
  }

  /** A client's connection has ended. */
  ended(connection: SessionConnection): void {
    this.#announcements.ended(connection);
    this.#watches.forget(connection);
  }

  /** Begins to tell a client who is on a subject. @returns why not, or `undefined`. */
  watch(connection: SessionConnection, request: WatchRequest): Refusal | undefined {
    if (connection.grant.maySeePresence(request.subject)) {
      return this.#watches.begin(connection, request);
    }
    const message = `this client may not see who is on "${request.subject}"`;
    return { code: "forbidden", message };
  }

  /** Ends what `watch` began. @returns why not, or `undefined`. */
  unwatch(connection: SessionConnection, id: string): Refusal | undefined {
    if (this.#watches.stop(connection, id)) return undefined;
    return { code: "unknown_subscription", message: `there is no presence watch "${id}"` };
  }

  /** This gateway stops: its connections are gone. */
  stop(): void {
    if (this.#isFresh) {
      this.#announcements.stop();
      this.#parts.bucket.delete(this.#gateway);
    }
    this.#isConnected = false;
    this.#lose();
    this.#timers.stop();
    this.#watches.forgetChanges();
  }

  get #isStale(): boolean {
    return !this.#isFresh || !this.#isLasting;
  }

  /** A gateway says that it is alive, or that it has stopped. */
  #heard(gateway: string, data: Uint8Array | undefined, madeMs: number): void {
    if (data === undefined) this.#table.stopped(gateway);
    else this.#table.alive(gateway, madeMs);
    if (gateway !== this.#gateway || data === undefined || !this.#isConnected) return;
    const beat = Number(decoder.decode(data));
    if (!(beat >= this.#firstBeat)) return;
    this.#heardMs = this.#parts.clock.nowMs();
    if (!this.#isFresh) {
      this.#isFresh = true;
      this.#table.thaw(madeMs);
      this.#watches.staleChanged();
      this.#announcements.writeAll();
      this.#beatAfter(this.#options.presenceTtlMs / BEATS);
    }
    this.#announcements.endCheck(beat, this.#table.idsOf(gateway));
  }

  /** Says that this gateway is alive, which must come back. */
  #sayAlive(): void {
    this.#checkFresh();
    this.#lastBeat = this.#announcements.beginCheck();
    this.#parts.bucket.put(this.#gateway, String(this.#lastBeat));
    this.#beatAfter(this.#isFresh ? this.#options.presenceTtlMs / BEATS : RETRY_MS);
  }

  #beatAfter(delayMs: number): void {
    const { clock, random } = this.#parts;
    this.#timers.set(this.#beat, clock.nowMs() + delayMs * (1 - random() / 4));
  }

  /** @returns whether what the bucket says arrives: what was written has come back lately. */
  #checkFresh(): boolean {
    const sinceMs = this.#parts.clock.nowMs() - this.#heardMs;
    if (this.#isFresh && sinceMs > this.#options.presenceTtlMs / 2) this.#lose();
    return this.#isFresh;
  }

  /** From now on, what is known may be old. */
  #lose(): void {
    this.#firstBeat = this.#lastBeat + 1;
    if (!this.#isFresh) return;
    this.#isFresh = false;
    this.#table.freeze();
    this.#watches.staleChanged();
    if (this.#isConnected) this.#beatAfter(0);
  }

  #unreadable(key: string): void {
    const others = this.#logLimit.othersBefore("key");
    if (others === undefined) return;
    this.#parts.log.warn(
      "The presence bucket has an entry {key} that no gateway wrote: it has no effect",
      {
        event: "presence_unreadable",
        key: key.slice(0, 200),
        others,
      },
    );
  }
}
