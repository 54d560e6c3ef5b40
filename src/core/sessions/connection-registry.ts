import type { CloseCause } from "../../protocol/close-codes.ts";
import type { IncidentLog } from "../metering/incident-log.ts";
import type { DisconnectReason, Meter } from "../metering/meter.ts";
import type { Clock } from "../ports/clock.ts";
import type { ConnectionObserver } from "../ports/observer.ts";
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
  onEnd(connection: Connection): void;
  /** Called when the last connection is closed. */
  onEmpty(): void;
}

/** The connections that there are: counts and logs them as they come and go. */
export class ConnectionRegistry {
  readonly #parts: ConnectionRegistryParts;
  /** The open connections of each address and principal. */
  readonly counts: ConnectionCounts;
  readonly #open = new Set<Connection>();
  readonly #closing = new Set<Connection>();
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

  add(
    connection: Connection,
    { request, addressGroup = connection.address }: ConnectingClient,
  ): void {
    const { meter, log, observer } = this.#parts;
    this.#open.add(connection);
    this.counts.add(connection, addressGroup);
    meter.countConnect();
    log.connected(connection, request);
    observer?.connected(infoOf(connection));
  }

  /** In how many milliseconds a client that is disconnected for this cause should reconnect. */
  retryAfterMs(cause: CloseCause): number {
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
    this.#parts.onEnd(connection);
    if (connection.state === "closing") this.#closing.add(connection);
    meter.countDisconnect(reason);
    log.left(connection, reason);
    const connectedMs = clock.nowMs() - connection.sinceMs;
    observer?.disconnected(infoOf(connection), { reason, connectedMs });
    incidents.ended(reason, connection.address);
  }

  /** The socket of a connection is closed. */
  closed(connection: Connection): void {
    this.#closing.delete(connection);
    if (this.size > 0) return;
    for (const resolve of this.#whenEmpty.splice(0)) resolve();
    this.#parts.onEmpty();
  }

  /** Resolves when there are no connections. */
  async empty(): Promise<void> {
    if (this.size > 0) await new Promise<void>((resolve) => this.#whenEmpty.push(resolve));
  }
}
