import type { Audience } from "./fanout/audience.ts";
import type { Meter } from "./metering/meter.ts";
import type { Cancel, Clock } from "./ports/clock.ts";
import type { Session } from "./sessions/session.ts";
import type { ClientLimits } from "./sessions/session-parts.ts";

/** While somebody lags, this is how often it is seen whether its socket has room again. */
const LAG_INTERVAL_MS = 10;
/** So soon after a client was fed: on runtimes that write later, it may have room again at once. */
const FED_INTERVAL_MS = 1;
/** A tick that is later than this means that the process stood still, and that time counts against no client. */
const PAUSE_MS = 1000;
/** How often all clients are looked at, at the most rarely. */
const SWEEP_INTERVAL_MS = 250;

/** The connections that there are, as the broadcaster keeps them. */
export interface ClientGroups {
  /** All that are served. */
  readonly open: ReadonlySet<Session>;
  /** Those that were ended, and whose peer has not confirmed. */
  readonly closing: ReadonlySet<Session>;
}

/** Looks after all connections with one timer: who lags, who is silent, who does not close. */
export class Sweeper {
  readonly #clock: Clock;
  readonly #meter: Meter;
  readonly #groups: ClientGroups;
  readonly #intervalMs: number;
  #cancelTick: Cancel | undefined;
  #lastSweepMs = 0;
  /** When the next tick should come. */
  #dueMs = 0;
  /** Whether the last tick fed somebody from a queue. */
  #fed = false;
  /**
   * Those for whom something waits for room in their socket. Who only asked for less waits for its own
   * clock, and there may be very many of those.
   */
  readonly #waiting = new Set<Session>();
  /** When set, every client is to go: when it has all that was meant for it, and by then at the latest. */
  #drainUntilMs: number | undefined;

  constructor(limits: ClientLimits, clock: Clock, meter: Meter, groups: ClientGroups) {
    this.#clock = clock;
    this.#meter = meter;
    this.#groups = groups;
    // A limit is kept with an error of at most a quarter of it.
    this.#intervalMs = Math.max(
      LAG_INTERVAL_MS,
      Math.min(
        SWEEP_INTERVAL_MS,
        limits.writeTimeoutMs / 4,
        limits.pingIntervalMs / 4,
        limits.readTimeoutMs / 4,
      ),
    );
  }

  /** Starts the timer, unless it runs. */
  start(): void {
    if (this.#cancelTick === undefined) this.#schedule();
  }

  stop(): void {
    this.#cancelTick?.();
    this.#cancelTick = undefined;
    this.#drainUntilMs = undefined;
    this.#waiting.clear();
  }

  /** From now on, clients that have got everything are ended; at `untilMs` all are. */
  drainUntil(untilMs: number): void {
    this.#drainUntilMs = untilMs;
    this.#cancelTick?.();
    this.#tick();
  }

  /** Looks at the buffers of one audience's live members. */
  sweepAudience(audience: Audience): void {
    audience.sweptAtBytes = audience.writtenBytes;
    const nowMs = this.#clock.nowMs();
    this.#forgiveLateness(nowMs);
    for (const client of audience.live) {
      client.checkLag(nowMs);
      this.watch(client);
    }
  }

  /** Looks after a client for whom something waits: the first one is not left to the next whole sweep. */
  watch(client: Session): void {
    if (!client.isPressing) return;
    const isFirst = this.#waiting.size === 0;
    this.#waiting.add(client);
    if (!isFirst || this.#cancelTick === undefined) return;
    this.#cancelTick();
    this.#schedule();
  }

  #schedule(): void {
    const hurry = this.#drainUntilMs !== undefined || this.#waiting.size > 0;
    const lagMs = this.#fed ? FED_INTERVAL_MS : LAG_INTERVAL_MS;
    const delayMs = hurry ? lagMs : this.#intervalMs;
    this.#dueMs = this.#clock.nowMs() + delayMs;
    this.#cancelTick = this.#clock.after(delayMs, () => this.#tick());
  }

  #tick(): void {
    const nowMs = this.#clock.nowMs();
    const { open, closing } = this.#groups;
    this.#cancelTick = undefined;
    this.#forgiveLateness(nowMs);
    const sentBefore = this.#meter.ledger.sent;
    for (const client of this.#waiting) {
      client.checkLag(nowMs);
      if (!client.isPressing) this.#waiting.delete(client);
    }
    this.#fed = this.#meter.ledger.sent !== sentBefore;
    if (nowMs - this.#lastSweepMs >= this.#intervalMs) {
      this.#lastSweepMs = nowMs;
      for (const client of open) {
        if (!this.#waiting.has(client)) client.checkLag(nowMs);
        this.watch(client);
        client.checkLife(nowMs);
      }
    }
    if (this.#drainUntilMs !== undefined) this.#drain(nowMs, this.#drainUntilMs);
    for (const client of closing) if (nowMs >= client.closingUntilMs) client.socket.terminate();
    if (open.size + closing.size > 0) this.#schedule();
  }

  /** Before any check: after a standstill, messages may come before the tick that is late. */
  #forgiveLateness(nowMs: number): void {
    const lateMs = nowMs - this.#dueMs;
    if (lateMs <= PAUSE_MS) return;
    this.#dueMs = nowMs;
    for (const client of this.#groups.open) client.forgivePause(lateMs, nowMs);
    for (const client of this.#groups.closing) client.forgivePause(lateMs, nowMs);
  }

  /** Ends who has got everything, and when the time is up everybody; then waits for no confirmation. */
  #drain(nowMs: number, untilMs: number): void {
    for (const client of this.#groups.open) {
      client.subscriptions.open();
      client.speedUp();
      if (nowMs >= untilMs || client.hasAll) client.end("going_away");
    }
    for (const client of this.#groups.closing) {
      if (nowMs < untilMs && nowMs < client.closingUntilMs) continue;
      client.socket.terminate();
      client.closed(1006);
    }
  }
}
