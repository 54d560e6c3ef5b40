import type { Grant, GrantedRequest, Principal } from "./access/grant.ts";
import type { Refusal } from "./access/refusal.ts";
import { RedeliveryPolicy } from "./acks/redelivery-policy.ts";
import { Authentication } from "./authentication.ts";
import type { BroadcasterOptions, BroadcasterParts } from "./broadcaster-options.ts";
import type { Audience } from "./fanout/audience.ts";
import { AudienceRegistry } from "./fanout/audience-registry.ts";
import { FrameHandler } from "./frame-handler.ts";
import { Ring } from "./history/ring.ts";
import { StreamRegistry } from "./history/stream-registry.ts";
import { IncidentLog } from "./metering/incident-log.ts";
import type { ClientLimit, Meter } from "./metering/meter.ts";
import type { Clock } from "./ports/clock.ts";
import type { ClientSocket } from "./ports/socket.ts";
import type {
  SourceFault,
  SourceListener,
  SourceMessage,
  SourceStatus,
  StreamState,
} from "./ports/source.ts";
import { Publishing } from "./publishing/publishing.ts";
import { BacklogRegistry } from "./sessions/backlog-registry.ts";
import { type ConnectingClient, Connection, type ConnectionParts } from "./sessions/connection.ts";
import type { ExceededCount } from "./sessions/connection-counts.ts";
import { ConnectionLog, type RefusedHandshake } from "./sessions/connection-log.ts";
import { ConnectionRegistry } from "./sessions/connection-registry.ts";
import type { Session } from "./sessions/session.ts";
import { SessionRegistry } from "./sessions/session-registry.ts";
import type { Selection } from "./subject/subject.ts";
import type { StartFault } from "./subscribe/start-positions.ts";
import { SubscriptionManager } from "./subscribe/subscription-manager.ts";
import { Sweeper } from "./sweeper.ts";
import { FlushTimer } from "./timing/flush-timer.ts";
import { ReturnTimes } from "./timing/reconnect-times.ts";
import { TimerQueue } from "./timing/timer-queue.ts";
import { TurnShare } from "./timing/turn-share.ts";
import { TotalQueueBound } from "./total-queue-bound.ts";
import { UpstreamSubscriptions } from "./upstream/upstream-subscriptions.ts";
import { UpstreamNotifier } from "./upstream-notifier.ts";
import type { Envelope, EnvelopeEncoder, Position } from "./wire/envelope.ts";

/**
 * An audience with more bytes than this pending is flushed at once: one write of so many bytes
 * costs the kernel hardly more than a smaller one, and more would only be memory.
 */
const FLUSH_BYTES = 128 * 1024;

/**
 * Sends each message to the clients that want it: the message is matched against audiences, encoded once, and
 * written once per client and flush.
 */
export class Broadcaster implements SourceListener {
  readonly sessions: SessionRegistry;
  readonly #options: BroadcasterOptions;
  readonly #clock: Clock;
  readonly #encoder: EnvelopeEncoder;
  readonly #meter: Meter;
  readonly #sweeper: Sweeper;
  readonly #totalQueueBound: TotalQueueBound;
  readonly #upstream: UpstreamSubscriptions;
  readonly #notifier: UpstreamNotifier;
  readonly #ring: Ring;
  readonly #streams: StreamRegistry;
  readonly #turnShare: TurnShare;
  /** For all that must be acknowledged, and for sessions that expire. */
  readonly #ackTimers: TimerQueue;
  readonly #subscriptions: SubscriptionManager;
  readonly #audiences: AudienceRegistry<Session>;
  readonly #incidents: IncidentLog;
  readonly #authentication: Authentication;
  /** Publishes what clients send. */
  readonly publishing: Publishing;
  readonly #connectionLog: ConnectionLog;
  readonly #connections: ConnectionRegistry;
  readonly #connectionParts: ConnectionParts;
  readonly #backlogs: BacklogRegistry;
  readonly #timer: FlushTimer;
  readonly #returns: ReturnTimes;

  /** Audiences with messages for the next flush. */
  #pending: Audience<Session>[] = [];

  /** No id of another run is one of this run's: a cursor says where it comes from. */
  readonly #origin = crypto.randomUUID().replaceAll("-", "").slice(0, 12);
  #sequence = 0;
  #open = false;

  constructor(options: BroadcasterOptions, parts: BroadcasterParts) {
    const { clock, meter } = parts;
    this.#options = options;
    this.#clock = clock;
    this.#encoder = parts.encoder;
    this.#meter = meter;
    this.#incidents = new IncidentLog(parts.log, clock);
    this.#connectionLog = new ConnectionLog(parts.log, clock, () => meter.clientsActive);
    const { random = Math.random, isRevoked = () => false } = parts;
    this.#returns = new ReturnTimes(clock, random);
    this.#connections = new ConnectionRegistry({
      clock,
      meter,
      log: this.#connectionLog,
      incidents: this.#incidents,
      returns: this.#returns,
      observer: parts.observer,
      limits: options,
      onEnd: (connection) => {
        this.#authentication.end(connection);
        this.publishing.end(connection);
      },
      onEmpty: () => this.#sweeper.stop(),
    });
    this.#timer = new FlushTimer(clock, options.flushIntervalMs, () => this.flush());
    this.#backlogs = new BacklogRegistry(this.#timer);
    this.#totalQueueBound = new TotalQueueBound(options.maxTotalQueueBytes, meter.ledger);
    this.#ring = new Ring(options);
    this.#audiences = new AudienceRegistry(parts.fanouts, meter.ledger);
    this.#turnShare = new TurnShare(clock, parts.stepsPerTurn);
    this.#streams = new StreamRegistry(options.streams, this.#ring, clock);
    const demanded = { ...options, subjects: options.demanded };
    this.#upstream = new UpstreamSubscriptions(demanded, {
      clock,
      source: parts.source,
      turnShare: this.#turnShare,
      sequence: () => this.#sequence,
    });
    this.#notifier = new UpstreamNotifier(options, {
      audiences: this.#audiences,
      upstream: this.#upstream,
      last: () => this.#last,
      // A client without a connection is told when it resumes.
      refused: (session) => {
        if (session.isAttached) this.#subscriptions.endRefused(session);
      },
    });
    this.#ackTimers = new TimerQueue(clock);
    const { deadLetters } = parts;
    const { deadLetterSubject } = options;
    const acks = {
      ...{ options, clock, meter, timers: this.#ackTimers },
      redelivery: new RedeliveryPolicy(options, {
        ...{ ledger: meter.ledger, deadLetters, deadLetterSubject, random },
      }),
    };
    this.#subscriptions = new SubscriptionManager(options, {
      ...{ ...parts, acks },
      upstream: this.#upstream,
      ring: this.#ring,
      streams: this.#streams,
      turnShare: this.#turnShare,
      connected: () => this.#notifier.isConnected,
      last: () => this.#last,
    });
    this.sessions = new SessionRegistry(options, {
      ...{ ...parts, acks },
      audiences: this.#audiences,
      backlogs: this.#backlogs,
      subscriptions: this.#subscriptions,
      turnShare: this.#turnShare,
      upstreamState: () => this.#notifier.state,
      last: () => this.#last,
      isRevoked,
    });
    this.#authentication = new Authentication(options, {
      ...{ clock, random, turnShare: this.#turnShare, isRevoked },
      connections: this.#connections.open,
      sessions: this.sessions,
      counts: this.#connections.counts,
      limited: (limit) => this.clientLimited(limit),
    });
    this.publishing = new Publishing(options, {
      ...{ clock, meter, log: parts.log, publisher: parts.publisher },
    });
    const handlers = {
      subscriptions: this.#subscriptions,
      authentication: this.#authentication,
      publishing: this.publishing,
    };
    this.#connectionParts = {
      ...{ limits: options, meter, clock },
      frames: new FrameHandler(options, meter, handlers),
      sessions: this.sessions,
      registry: this.#connections,
    };
    this.#sweeper = new Sweeper(options, clock, meter, this.#connections);
  }

  /** Accepts clients from now on. */
  open(): void {
    this.#open = true;
    this.sessions.keeps = true;
  }

  /** Accepts no more clients; connected ones stay. */
  refuse(): void {
    this.#open = false;
    this.sessions.keeps = false;
  }

  /** Why no client is accepted now; `undefined` if one is. */
  get refusal(): "closed" | "full" | "overloaded" | undefined {
    if (!this.#open) return "closed";
    if (this.#connections.size >= this.#options.maxClients) return "full";
    return this.#totalQueueBound.overloaded ? "overloaded" : undefined;
  }

  /** In how many milliseconds a client that is refused now should try again. */
  get refusedForMs(): number {
    return this.#returns.afterMs("refused", this.#connections.size);
  }

  /** In how many milliseconds a client that is accepted now should reconnect when its connection is lost. */
  get returnsAfterMs(): number {
    return this.#returns.among(this.#connections.open.size + 1);
  }

  /** Why nobody may subscribe to what a grant selects, or not now; `undefined`: one may. */
  excessOf(grant: Grant, granted: Selection): Refusal | undefined {
    return this.#subscriptions.excessOf(grant, granted);
  }

  /** Why a granted request can't start where it says; `undefined`: it can. */
  startFaultOf(grant: Grant, granted: GrantedRequest): StartFault | undefined {
    return this.#subscriptions.startFaultOf(grant, granted);
  }

  /** The number of durables in use. */
  get durables(): number {
    return this.#subscriptions.durables;
  }

  /** The subscriptions at the source. */
  get upstream(): Pick<UpstreamSubscriptions, "subscriptions" | "pending" | "refusal"> {
    return this.#upstream;
  }

  /** The size of the ring. */
  get kept(): { readonly messages: number; readonly bytes: number } {
    return this.#ring;
  }

  /** Which limit another client of an address and a principal would exceed; `undefined`: none. */
  excessOfClients(addressGroup: string, principal: Principal): ExceededCount | undefined {
    return this.#connections.counts.excessOf(addressGroup, principal);
  }

  /** A client was not let in because of a limit. */
  clientLimited(limit: ClientLimit): void {
    this.#meter.clientsLimited[limit]++;
  }

  /**
   * Accepts a connection. If there are too many, it is closed with 4503 or 4429; that is rare, as handshakes are
   * refused before.
   */
  accept(socket: ClientSocket, client: ConnectingClient): Connection {
    const { refusal } = this;
    const { grant, addressGroup = client.address ?? socket.remoteAddress } = client;
    const excess = this.excessOfClients(addressGroup, grant.terms.principal);
    const number = this.#connections.nextNumber();
    const connection = new Connection(number, socket, client, this.#connectionParts);
    this.#connections.add(connection, client);
    this.#sweeper.start();
    if (refusal !== undefined) connection.end(refusal === "closed" ? "going_away" : "overloaded");
    else if (excess !== undefined) {
      this.clientLimited(excess);
      connection.end("too_many_connections");
    } else {
      this.#authentication.begin(connection);
      if (!connection.isOver) this.sessions.admit(connection, client.request, client.session);
    }
    return connection;
  }

  /** Tokens were revoked: ends the connections and sessions that they belong to. */
  endRevoked(): void {
    this.#authentication.endRevoked();
  }

  /** A handshake was answered with an error. */
  handshakeRefused(handshake: RefusedHandshake): void {
    this.#meter.countRefusedHandshake();
    this.#connectionLog.refused(handshake);
  }

  /** Sends a message to every client that wants it. */
  message(message: SourceMessage): void {
    const meter = this.#meter;
    const wallMs = this.#clock.wallMs();
    meter.countReceived(message.data.length, wallMs);
    const sequence = ++this.#sequence;

    const { timestampMs = wallMs } = message;
    const position = this.#streams.place(message, sequence) ?? {
      origin: this.#origin,
      sequence,
    };
    // All audiences share one encoding; a message that nobody wants and the ring doesn't keep isn't encoded.
    let envelope: Envelope | undefined;
    const encode = (): Envelope => {
      envelope ??= this.#encoder.encode(message, position, timestampMs);
      return envelope;
    };
    if (this.#ring.keeps) this.#ring.push(encode());
    else this.#ring.skip(position);
    const { detached } = this.sessions;
    if (this.#connections.open.size === 0 && detached === 0) return;
    this.#audiences.match(message.subject, (audience) => {
      if (audience.lastSerial === sequence) return;
      audience.lastSerial = sequence;
      if (audience.key.denied.denies(message.subject)) return;
      if (audience.add(encode())) this.#pending.push(audience);
      if (audience.pendingBytes >= FLUSH_BYTES) this.#flushAudience(audience);
    });
    if (detached > 0) this.sessions.grew(encode().byteLength);
    this.#totalQueueBound.relieve(this.#backlogs.all);
    if (this.#pending.length > 0) this.#timer.schedule();
  }

  status(status: SourceStatus): void {
    this.#notifier.status(status);
  }

  /** The source follows a stream, from the beginning on or again. */
  stream(state: StreamState): void {
    this.#notifier.stream(this.#streams.follow(state));
  }

  /** The source says that a pattern's messages arrive from now on. */
  arrives(pattern: string): void {
    this.#notifier.arrives(pattern);
  }

  /** The source may not subscribe to a pattern. */
  refused(pattern: string, reason: string, isFinal = false): void {
    if (this.#notifier.refused(pattern, { reason, isFinal })) {
      this.#meter.countError("upstream_refused", `NATS refuses ${pattern}: ${reason}`);
    }
  }

  /** The source may not follow a stream: clients that wait for it get an answer, and its subscribers are told. */
  streamRefused(name: string, reason: string): void {
    this.#notifier.streamRefused(this.#streams.refuse(name, reason), reason);
    this.fault("stream_refused", `stream ${name} is not followed: ${reason}`);
  }

  fault(kind: SourceFault, detail: string): void {
    this.#meter.countError(kind, detail);
    this.#incidents.fault(kind, detail);
  }

  /** Sends all pending messages, and drains the backlogs that are ready. */
  flush(): void {
    const startMs = this.#timer.begins();
    const pending = this.#pending;
    this.#pending = [];
    for (const audience of pending) this.#flushAudience(audience);
    for (const session of this.#backlogs.takeReady()) {
      session.drain();
      this.#sweeper.watch(session);
    }
    this.#totalQueueBound.relieve(this.#backlogs.all);
    this.#meter.broadcastSeconds.add((this.#timer.ends() - startMs) / 1000);
  }

  /**
   * Ends all connections with 1001: clients that keep up at once, lagging ones when their backlog is empty, and all of
   * them after the timeout. Resolves when the last socket is closed.
   */
  async drain(timeoutMs: number): Promise<void> {
    this.refuse();
    this.sessions.expireDetached();
    this.flush();
    this.#sweeper.drainUntil(this.#clock.nowMs() + timeoutMs);
    await this.#connections.empty();
    this.#sweeper.stop();
    this.#authentication.stop();
    this.publishing.stop();
    this.#ackTimers.stop();
    this.#turnShare.stop();
    this.#upstream.stop();
    this.#connectionLog.stop();
    this.#timer.stop();
  }

  get #last(): Position {
    return { origin: this.#origin, sequence: this.#sequence };
  }

  #flushAudience(audience: Audience<Session>): void {
    audience.flush();
    // Between two sweeps no member's buffer may grow to where its runtime would drop in silence.
    if (audience.writtenBytes - audience.sweptAtBytes >= this.#options.highWaterBytes) {
      this.#sweeper.sweepAudience(audience);
    }
  }
}
