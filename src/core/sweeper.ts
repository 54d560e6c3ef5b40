import type { CloseCause } from "../protocol/close-codes.ts";
import type { Audience } from "./fanout/audience.ts";
import type { Meter } from "./metering/meter.ts";
import type { Cancel, Clock } from "./ports/clock.ts";
import type { Connection, ConnectionLimits } from "./sessions/connection.ts";
import type { Session } from "./sessions/session.ts";

/** How often the sockets of lagging clients are checked. */
const LAG_INTERVAL_MS = 10;
/** How soon a socket is checked after its backlog was drained: on runtimes that write later, it may have room at once. */
const DRAINED_INTERVAL_MS = 1;
/** A tick later than this means that the process stood still; that time counts against no client. */
const PAUSE_MS = 1000;
/** A tick later than this means that pongs may wait to be read: that time counts against no client until they are. */
const LATE_MS = 100;
/** The longest wait for the acknowledgements of a client that is let go and has got everything. */
const LAST_ACKS_MS = 1000;
/** The longest time in which a client whose connection is too old gets the rest of its messages. */
const TOO_OLD_MS = 10_000;
/** The longest time between two checks of all clients. */
const SWEEP_INTERVAL_MS = 250;

/** The connections that there are. */
export interface Connections {
  /** The connections whose clients are served. */
  readonly open: ReadonlySet<Connection>;
  /** The connections that the gateway has ended, and whose peers have not confirmed. */
  readonly closing: ReadonlySet<Connection>;
}

/** The end of a connection whose client is let go. */
interface Leave {
  readonly cause: CloseCause;
  /** From then on, acknowledgements are not waited for. */
  readonly acksUntilMs: number;
  /** By then, the connection is ended. */
  readonly untilMs: number;
}

/** Checks all connections with one timer: for clients that lag, are silent, or don't close. */
export class Sweeper {
  readonly #clock: Clock;
  readonly #meter: Meter;
  readonly #connections: Connections;
  readonly #limits: ConnectionLimits;
  #cancelTick: Cancel | undefined;
  #lastSweepMs = 0;
  /** When the next tick should come. */
  #dueMs = 0;
  /** Whether the last tick sent something of a backlog. */
  #hasDrained = false;
  /**
   * The sessions whose messages wait for room in their socket. Clients that only asked for a lower rate are not among
   * them, as there may be very many.
   */
  readonly #waiting = new Set<Session>();
  /** The connections that end when their clients have got everything. */
  readonly #leaving = new Map<Connection, Leave>();
  /** If set, every client is to go: when it has all that was meant for it, and by then at the latest. */
  #drainUntilMs: number | undefined;

  constructor(limits: ConnectionLimits, clock: Clock, meter: Meter, connections: Connections) {
    this.#clock = clock;
    this.#meter = meter;
    this.#connections = connections;
    this.#limits = limits;
  }

  /** A limit is kept with an error of at most a quarter of it. */
  get #intervalMs(): number {
    const { writeTimeoutMs, pingIntervalMs, readTimeoutMs } = this.#limits;
    const shortestMs = Math.min(writeTimeoutMs, pingIntervalMs, readTimeoutMs);
    return Math.max(LAG_INTERVAL_MS, Math.min(SWEEP_INTERVAL_MS, shortestMs / 4));
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
    this.#leaving.clear();
  }

  /**
   * Ends a connection as soon as its client has got everything.
   *
   * @param withinMs how long to wait for that at most. Default: until a drain ends all connections.
   */
  letGo(connection: Connection, cause: CloseCause, withinMs = Number.POSITIVE_INFINITY): void {
    if (connection.isOver || this.#leaving.has(connection)) return;
    const nowMs = this.#clock.nowMs();
    const leave = { cause, acksUntilMs: nowMs + LAST_ACKS_MS, untilMs: nowMs + withinMs };
    if (hasLeft(connection, leave, nowMs)) return;
    this.#leaving.set(connection, leave);
    this.#hurry();
  }

  /** From now on, clients that have got everything are disconnected; at `untilMs` all are. */
  drainUntil(untilMs: number): void {
    this.#drainUntilMs = untilMs;
    this.#cancelTick?.();
    this.#tick();
  }

  /** Looks at the buffers of one audience's live members. */
  sweepAudience(audience: Audience<Session>): void {
    audience.swept();
    const nowMs = this.#clock.nowMs();
    this.#forgiveLateness(nowMs);
    for (const session of audience.live) {
      session.checkLag(nowMs);
      this.watch(session);
    }
  }

  /** Looks after a session for which something waits: the first one is not left to the next whole sweep. */
  watch(session: Session): void {
    if (!session.isPressing) return;
    const isFirst = this.#waiting.size === 0;
    this.#waiting.add(session);
    if (isFirst) this.#hurry();
  }

  /** Lets the next tick come soon, instead of one that may come later. */
  #hurry(): void {
    if (this.#cancelTick === undefined) return;
    this.#forgiveLateness(this.#clock.nowMs());
    this.#cancelTick();
    this.#schedule();
  }

  #schedule(): void {
    const hurry = this.#drainUntilMs !== undefined || this.#waiting.size + this.#leaving.size > 0;
    const lagMs = this.#hasDrained ? DRAINED_INTERVAL_MS : LAG_INTERVAL_MS;
    const delayMs = hurry ? lagMs : this.#intervalMs;
    this.#dueMs = this.#clock.nowMs() + delayMs;
    this.#cancelTick = this.#clock.after(delayMs, () => this.#tick());
  }

  #tick(): void {
    const nowMs = this.#clock.nowMs();
    const { open, closing } = this.#connections;
    this.#cancelTick = undefined;
    try {
      this.#forgiveLateness(nowMs);
      const sentBefore = this.#meter.ledger.sent;
      for (const session of this.#waiting) {
        session.checkLag(nowMs);
        if (!session.isPressing) this.#waiting.delete(session);
      }
      this.#hasDrained = this.#meter.ledger.sent !== sentBefore;
      if (nowMs - this.#lastSweepMs >= this.#intervalMs) {
        this.#lastSweepMs = nowMs;
        for (const connection of open) this.#sweep(connection, nowMs);
      }
      for (const [connection, leave] of this.#leaving) {
        if (hasLeft(connection, leave, nowMs)) this.#leaving.delete(connection);
      }
      if (this.#drainUntilMs !== undefined) this.#drain(nowMs, this.#drainUntilMs);
      for (const { closingUntilMs, socket } of closing) {
        if (nowMs >= closingUntilMs) socket.terminate();
      }
    } finally {
      if (open.size + closing.size > 0) this.#schedule();
    }
  }

  #sweep(connection: Connection, nowMs: number): void {
    const { session } = connection;
    if (session !== undefined) {
      if (!this.#waiting.has(session)) session.checkLag(nowMs);
      this.watch(session);
    }
    connection.checkLife(nowMs);
    if (nowMs >= connection.tooOldMs) this.letGo(connection, "too_old", TOO_OLD_MS);
  }

  /** Before any check: after a standstill, messages may come before the tick that is late. */
  #forgiveLateness(nowMs: number): void {
    const lateMs = nowMs - this.#dueMs;
    if (lateMs <= LATE_MS) return;
    this.#dueMs = nowMs;
    if (lateMs <= PAUSE_MS) {
      for (const { writer } of this.#connections.open) writer.forgiveLateness(lateMs, nowMs);
      return;
    }
    for (const connection of this.#connections.open) connection.forgivePause(lateMs, nowMs);
    for (const connection of this.#connections.closing) connection.forgivePause(lateMs, nowMs);
  }

  /** Disconnects the clients that have got everything, and when the time is up all of them without waiting. */
  #drain(nowMs: number, untilMs: number): void {
    for (const connection of this.#connections.open) {
      sendRest(connection);
      if (nowMs >= untilMs || hasEverything(connection)) connection.end("going_away");
    }
    for (const connection of this.#connections.closing) {
      if (nowMs < untilMs && nowMs < connection.closingUntilMs) continue;
      connection.socket.terminate();
      connection.closed(1006);
    }
  }
}

/** Ends a connection that is let go, if it is time. @returns whether it has ended. */
function hasLeft(connection: Connection, leave: Leave, nowMs: number): boolean {
  if (connection.isOver) return true;
  sendRest(connection);
  const hasRead = nowMs >= leave.acksUntilMs && connection.session?.isPressing !== true;
  if (!hasEverything(connection) && !hasRead && nowMs < leave.untilMs) return false;
  connection.end(leave.cause);
  return true;
}

/** Whether nothing is left for a client; one that has not shown its token gets nothing. */
function hasEverything({ session }: Connection): boolean {
  return session === undefined || session.hasAll;
}

/** Sends the messages that were held back for the sake of a rate. */
function sendRest({ session }: Connection): void {
  session?.subscriptions.open();
  session?.speedUp();
}
