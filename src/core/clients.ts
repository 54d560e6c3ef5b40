import type { Grant, Principal } from "./access/grant.ts";
import { Authentication, type AuthenticationOptions } from "./authentication/authentication.ts";
import { departEvenly } from "./departures.ts";
import { IncidentLog } from "./metering/incident-log.ts";
import type { ClientLimit, Meter } from "./metering/meter.ts";
import type { Clock } from "./ports/clock.ts";
import { reasonOf } from "./ports/errors.ts";
import type { Log } from "./ports/log.ts";
import type { ConnectionObserver } from "./ports/observer.ts";
import type { PresenceBucket } from "./ports/presence.ts";
import type { ClientSocket } from "./ports/socket.ts";
import type { SourceFault } from "./ports/source.ts";
import { Presence, type PresenceOptions } from "./presence/presence.ts";
import type { BacklogRegistry } from "./sessions/backlog-registry.ts";
import { type ClientLags, measureLags } from "./sessions/client-lags.ts";
import {
  type ConnectingClient,
  Connection,
  type ConnectionBroadcaster,
  type ConnectionLimits,
  type ConnectionParts,
} from "./sessions/connection.ts";
import type { ConnectionCountLimits, ExceededCount } from "./sessions/connection-counts.ts";
import { ConnectionLog, type RefusedHandshake } from "./sessions/connection-log.ts";
import { ConnectionRegistry } from "./sessions/connection-registry.ts";
import type { SessionRegistry } from "./sessions/session-registry.ts";
import { Sweeper } from "./sweeper.ts";
import { ReturnTimes } from "./timing/reconnect-times.ts";
import { TurnShare, Turns } from "./timing/turn-share.ts";
import { TotalQueueBound } from "./total-queue-bound.ts";

/**
 * The lag of all clients is measured again after this time for each of them at the earliest, or after the longest time: that looks at
 * every client, and anyone may ask for it.
 */
const LAGS_VALID_MS_PER_CLIENT = 0.1;
const MOST_LAGS_VALID_MS = 1000;

export interface ClientsOptions
  extends ConnectionLimits,
    ConnectionCountLimits,
    AuthenticationOptions,
    PresenceOptions {
  /** The maximum number of connected clients. */
  readonly maxClients: number;
  /** The maximum size of all backlogs together. */
  readonly maxTotalQueueBytes: number;
}

interface ClientsParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly broadcasters: Broadcasters;
  /** Whether the token of a grant is revoked; by default none is. */
  readonly isRevoked?: ((grant: Grant) => boolean) | undefined;
  /** Returns the grant that a client has by now; `undefined`: none. By default it is the one that it was given. */
  readonly renewed?: ((grant: Grant) => Grant | undefined) | undefined;
  /** The bucket in which gateways tell each other who is on which subjects. Default: presence is off. */
  readonly presenceBucket?: PresenceBucket | undefined;
  /** Is told which clients connect and disconnect. */
  readonly observer?: ConnectionObserver | undefined;
  /** The most steps of long work in one turn of the event loop; by default some milliseconds' worth. */
  readonly stepsPerTurn?: number | undefined;
  /** From 0 to 1, for back-offs; by default at random. */
  readonly random?: (() => number) | undefined;
}

/** Serves the clients of one account of NATS: a `Broadcaster`, as `Clients` knows it. */
export interface ClientBroadcaster extends ConnectionBroadcaster {
  readonly sessions: SessionRegistry;
  readonly backlogs: Pick<BacklogRegistry, "all">;
  /** Sends what is pending. */
  flush(): void;
  /** Releases all timers. */
  stop(): void;
}

/** The broadcasters of a gateway, one for each open account. */
interface Broadcasters {
  /** Also serves clients that have not shown a token yet. */
  readonly default: ClientBroadcaster;
  /**
   * Returns the broadcaster for the client of a grant. It may open an account for that, and close another one.
   *
   * @returns `undefined`: there is no room for another account.
   */
  openFor(grant: Grant): ClientBroadcaster | undefined;
}

/**
 * All clients of a gateway: lets them in, bounds and counts them, and ends their connections. Each one is served by
 * the `Broadcaster` of its account.
 */
export class Clients {
  readonly sweeper: Sweeper;
  /** Shares out each turn of the event loop among the long work for all clients. */
  readonly turns: Turns;
  readonly #options: ClientsOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #meter: Meter;
  readonly #broadcasters: Broadcasters;
  /** The broadcasters of the accounts that are open. */
  readonly #served = new Set<ClientBroadcaster>();
  readonly #log: ConnectionLog;
  readonly #incidents: IncidentLog;
  readonly #returns: ReturnTimes;
  readonly #connections: ConnectionRegistry;
  readonly #connectionParts: ConnectionParts;
  readonly #totalQueueBound: TotalQueueBound;
  readonly #turnShare: TurnShare;
  /** Checks the tokens that clients send. */
  readonly authentication: Authentication;
  /** Knows who is on which subjects; `undefined`: presence is off. */
  readonly presence: Presence | undefined;
  #lags: { readonly measured: ClientLags; readonly atMs: number } | undefined;
  #open = false;

  constructor(options: ClientsOptions, parts: ClientsParts) {
    const { clock, meter, log, observer } = parts;
    const { random = Math.random, isRevoked = () => false, renewed = (grant) => grant } = parts;
    this.#options = options;
    this.#clock = clock;
    this.#meter = meter;
    this.#broadcasters = parts.broadcasters;
    this.#log = new ConnectionLog(log, clock, () => meter.clientsActive);
    this.#incidents = new IncidentLog(log, clock);
    this.#returns = new ReturnTimes(clock, random);
    this.#connections = new ConnectionRegistry({
      ...{ clock, meter, observer },
      log: this.#log,
      incidents: this.#incidents,
      returns: this.#returns,
      limits: options,
      ended: (connection) => {
        this.authentication.ended(connection);
        connection.broadcaster.ended(connection);
        this.presence?.ended(connection);
      },
      emptied: () => this.sweeper.stop(),
    });
    this.#random = random;
    this.#connectionParts = {
      ...{ limits: options, meter, clock, random },
      registry: this.#connections,
    };
    this.#totalQueueBound = new TotalQueueBound(options, meter.ledger);
    const failed = (error: unknown): void => {
      const detail = `work in turns failed: ${reasonOf(error)}`;
      meter.countError("source_fault", detail);
      this.fault("source_fault", detail);
    };
    this.turns = new Turns(clock, failed, parts.stepsPerTurn);
    this.#turnShare = new TurnShare(this.turns);
    const { presenceBucket: bucket } = parts;
    this.presence =
      bucket && new Presence(options, { clock, log, random, bucket, turnShare: this.#turnShare });
    const served = this.#served;
    this.authentication = new Authentication(options, {
      ...{ clock, random, turnShare: this.#turnShare, isRevoked, renewed },
      connections: this.#connections.open,
      counts: this.#connections.counts,
      openAccountFor: (grant) => parts.broadcasters.openFor(grant) !== undefined,
      countLimited: (limit) => this.countLimited(limit),
      sessions: {
        identify: (connection) => this.#identify(connection),
        regrant: ({ broadcaster }, session, grant) => broadcaster.sessions.regrant(session, grant),
        *endRevoked() {
          for (const { sessions } of served) yield* sessions.endRevoked();
        },
        *renewDetached() {
          for (const { sessions } of served) yield* sessions.renewDetached(renewed);
        },
      },
    });
    this.sweeper = new Sweeper(options, clock, meter, this.#connections);
  }

  /** Serves the clients of an account from now on. */
  add(broadcaster: ClientBroadcaster): void {
    this.#served.add(broadcaster);
    broadcaster.sessions.isOpen = this.#open;
  }

  /** Forgets an account that has no clients. */
  remove(broadcaster: ClientBroadcaster): void {
    this.#served.delete(broadcaster);
  }

  /** Accepts clients from now on. */
  open(): void {
    this.#setOpen(true);
  }

  /** Accepts no more clients; connected ones stay. */
  refuse(): void {
    this.#setOpen(false);
  }

  /** The reason why no client is accepted now; `undefined` if one is. */
  get refusal(): "closed" | "full" | "overloaded" | undefined {
    if (!this.#open) return "closed";
    if (this.#connections.size >= this.#options.maxClients) return "full";
    return this.#totalQueueBound.overloaded ? "overloaded" : undefined;
  }

  /** The lag of the clients, now or, if there are 10,000, up to a second ago. */
  get lags(): ClientLags {
    const atMs = this.#clock.nowMs();
    const { open } = this.#connections;
    const validMs = Math.min(MOST_LAGS_VALID_MS, open.size * LAGS_VALID_MS_PER_CLIENT);
    if (this.#lags === undefined || atMs - this.#lags.atMs >= validMs) {
      this.#lags = { measured: measureLags(open, atMs), atMs };
    }
    return this.#lags.measured;
  }

  /** Returns in how many milliseconds a client that is refused now should try again. */
  get refusedForMs(): number {
    return this.#returns.afterMs("refused", this.#connections.size);
  }

  /** Returns in how many milliseconds a client that is accepted now should reconnect when its connection is lost. */
  get returnsAfterMs(): number {
    return this.#returns.among(this.#connections.open.size + 1);
  }

  /**
   * Returns which limit another client of an address and a principal would exceed; `undefined`: none.
   *
   * @param awaitsToken whether it connects without a token. Default: `false`.
   */
  excessOf(
    addressGroup: string,
    principal: Principal,
    awaitsToken = false,
  ): ExceededCount | undefined {
    const { counts, size } = this.#connections;
    // Clients without a token must leave places to those of other addresses.
    const left = this.#options.maxClients - size;
    if (awaitsToken && !counts.mayAwaitToken(addressGroup, left)) return "address";
    return counts.excessOf(addressGroup, principal);
  }

  /** Counts that a client was not let in because of a limit. */
  countLimited(limit: ClientLimit): void {
    this.#meter.clientsLimited[limit]++;
  }

  /** A handshake was answered with an error. */
  handshakeRefused(handshake: RefusedHandshake): void {
    this.#meter.countRefusedHandshake();
    this.#log.refused(handshake);
  }

  /** Logs a fault of a source. */
  fault(kind: SourceFault, detail: string): void {
    this.#incidents.fault(kind, detail);
  }

  /**
   * Accepts a connection. If there are too many, it is closed with 4503 or 4429; that is rare, as handshakes are
   * refused before.
   */
  accept(socket: ClientSocket, client: ConnectingClient): Connection {
    const { refusal } = this;
    const { grant, addressGroup = client.address ?? socket.remoteAddress } = client;
    const excess = this.excessOf(addressGroup, grant.terms.principal, grant.awaitsToken);
    const broadcaster = refusal === undefined ? this.#broadcasters.openFor(grant) : undefined;
    const connection = new Connection(
      this.#connections.nextNumber(),
      socket,
      client,
      broadcaster ?? this.#broadcasters.default,
      this.#connectionParts,
    );
    this.#connections.add(connection, client);
    this.sweeper.start();
    if (refusal === "closed") connection.end("going_away");
    else if (broadcaster === undefined) connection.end("overloaded");
    else if (excess !== undefined) {
      this.countLimited(excess);
      connection.end("too_many_connections");
    } else {
      this.authentication.begin(connection);
      if (!connection.isOver)
        broadcaster.sessions.admit(connection, client.request, client.session);
    }
    return connection;
  }

  /** Tokens were revoked: ends the connections and sessions that they belong to. */
  endRevoked(): void {
    this.authentication.endRevoked();
  }

  /** The permissions of clients may have changed: gives them their present grants. */
  renewGrants(): void {
    this.authentication.renewGrants();
  }

  /** See `TotalQueueBound.relieve`. */
  relieveQueues(): void {
    this.#totalQueueBound.relieve(this.#served);
  }

  /** The number of connections that are open. */
  get connected(): number {
    return this.#connections.open.size;
  }

  /**
   * Ends the connections that are open now with 1001 evenly over a time, each one when its client has got everything. Some may
   * be left in the end: those of clients that lag.
   *
   * @param overMs about how long it takes.
   * @param signal ends it early.
   */
  async depart(overMs: number, signal: AbortSignal): Promise<void> {
    const registry = this.#connections;
    registry.departsEvenly = true;
    const parts = {
      ...{ clock: this.#clock, random: this.#random },
      letGo: (connection: Connection) => this.sweeper.letGo(connection, "going_away"),
      isOver: () => registry.open.size === 0,
    };
    await departEvenly(registry.open, overMs, parts, signal);
    registry.departsEvenly = false;
  }

  /**
   * Ends all connections with 1001: clients that keep up at once, lagging ones when their backlog is empty, and all of
   * them after the timeout. Resolves when the last socket is closed.
   */
  async drain(timeoutMs: number): Promise<void> {
    this.refuse();
    for (const broadcaster of this.#served) {
      broadcaster.sessions.endDetached();
      broadcaster.flush();
    }
    this.sweeper.drainUntil(this.#clock.nowMs() + timeoutMs);
    await this.#connections.empty();
    this.sweeper.stop();
    this.authentication.stop();
    this.presence?.stop();
    this.#turnShare.stop();
    for (const broadcaster of this.#served) broadcaster.stop();
    this.#log.stop();
  }

  #setOpen(isOpen: boolean): void {
    this.#open = isOpen;
    for (const { sessions } of this.#served) sessions.isOpen = isOpen;
  }

  /** The account of a client is known as soon as it has shown its first token. */
  #identify(connection: Connection): void {
    const broadcaster = this.#broadcasters.openFor(connection.grant);
    if (broadcaster === undefined) {
      connection.end("overloaded");
      return;
    }
    connection.broadcaster = broadcaster;
    broadcaster.sessions.identify(connection);
  }
}
