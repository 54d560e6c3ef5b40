import type { CloseCause } from "../../protocol/close-codes.ts";
import type { IncidentLog } from "../metering/incident-log.ts";
import type { DisconnectReason, Meter } from "../metering/meter.ts";
import type { Clock } from "../ports/clock.ts";
import type { ConnectionObserver, DeniedRequest } from "../ports/observer.ts";
import type { ReturnTimes } from "../timing/reconnect-times.ts";
import { type ConnectingClient, type Connection, infoOf } from "./connection.ts";
import { type ConnectionCountLimits, ConnectionCounts } from "./connection-counts.ts";
import type { ConnectionLog } from "./connection-log.ts";

/** How long a client waits whose subjects NATS refuses, before it tries again. */
const FORBIDDEN_MS = 30_000;

interface ConnectionRegistryParts {
  readonly clock: Clock;
  readonly meter: Meter;
  readonly log: ConnectionLog;
  readonly incidents: IncidentLog;
  readonly returns: ReturnTimes;
  readonly observer: ConnectionObserver | undefined;
  readonly limits: ConnectionCountLimits;
  /** Called once for each connection, when it is not open any more. */
  ended(connection: Connection): void;
  /** Called when the last connection is closed. */
  emptied(): void;
}

/** The connections that there are: counts and logs them as they come and go. */
export class ConnectionRegistry {
  readonly #parts: ConnectionRegistryParts;
  /** The open connections of each address and principal. */
  readonly counts: ConnectionCounts;
  readonly #open = new Set<Connection>();
  readonly #closing = new Set<Connection>();
  /** Whether clients leave one after another because the gateway is about to stop: the others don't come with them. */
  departsEvenly = false;
  #count = 0;
  #whenEmpty: (() => void)[] = [];

  constructor(parts: ConnectionRegistryParts) {
    this.#parts = parts;
    this.counts = new ConnectionCounts(parts.limits);
  }

  /** The connections whose clients are served. */
  get open(): ReadonlySet<Connection> {
    return this.#open;
  }

  /** The connections that the gateway has ended, and whose peers have not confirmed. */
  get closing(): ReadonlySet<Connection> {
    return this.#closing;
  }

  /** How many there are: one that is closing still costs what it costs. */
  get size(): number {
    return this.#open.size + this.#closing.size;
  }

  /** Returns the number of the next connection. */
  nextNumber(): number {
    return ++this.#count;
  }

  add(connection: Connection, { request }: ConnectingClient): void {
    const { meter, log, observer } = this.#parts;
    this.#open.add(connection);
    this.counts.add(connection);
    meter.countConnect();
    log.connected(connection, request);
    observer?.connected(infoOf(connection));
  }

  /** Returns in how many milliseconds a client that is disconnected for this cause should reconnect. */
  retryAfterMs(cause: CloseCause): number {
    if (cause === "going_away" && this.departsEvenly) return this.#parts.returns.among(2);
    // When the gateway stops, all clients reconnect, and the first ones that are told so know of the others.
    const others = cause === "going_away" ? this.#open.size : 0;
    const afterMs = this.#parts.returns.afterMs(cause, others);
    return cause === "forbidden" ? FORBIDDEN_MS + afterMs : afterMs;
  }

  /** A connection is not open any more. */
  ended(connection: Connection, reason: DisconnectReason): void {
    const { clock, meter, log, observer, incidents } = this.#parts;
    this.#open.delete(connection);
    this.counts.remove(connection);
    this.#parts.ended(connection);
    if (connection.state === "closing") this.#closing.add(connection);
    meter.countDisconnect(reason);
    log.ended(connection, reason);
    const connectedMs = clock.nowMs() - connection.sinceMs;
    const { unconfirmedBytes } = connection.writer;
    observer?.disconnected(infoOf(connection), { reason, connectedMs, unconfirmedBytes });
    incidents.ended(reason, connection.address);
  }

  /** The grant of a client doesn't allow its request. */
  denied(connection: Connection, request: DeniedRequest): void {
    this.#parts.observer?.denied?.(infoOf(connection), request);
  }

  /** The socket of a connection is closed. */
  closed(connection: Connection): void {
    this.#closing.delete(connection);
    this.counts.closed(connection);
    if (this.size > 0) return;
    for (const resolve of this.#whenEmpty.splice(0)) resolve();
    this.#parts.emptied();
  }

  /** Resolves when there are no connections. */
  async empty(): Promise<void> {
    if (this.size > 0) await new Promise<void>((resolve) => this.#whenEmpty.push(resolve));
  }
}
