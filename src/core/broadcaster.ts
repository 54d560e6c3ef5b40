import type { CloseCause } from "../protocol/close-codes.ts";
import type { BroadcasterOptions, BroadcasterParts } from "./broadcaster-parts.ts";
import type { Audience } from "./fanout/audience.ts";
import { AudienceRegistry } from "./fanout/audience-registry.ts";
import { FrameHandler } from "./frame-handler.ts";
import { Governor } from "./governor.ts";
import { Ring } from "./history/ring.ts";
import { StreamRegistry } from "./history/stream-registry.ts";
import { IncidentLog } from "./metering/incident-log.ts";
import type { DisconnectReason, Meter } from "./metering/meter.ts";
import type { Clock } from "./ports/clock.ts";
import type { ClientInfo, ConnectionObserver } from "./ports/observer.ts";
import type { ClientSocket } from "./ports/socket.ts";
import type {
  SourceFault,
  SourceListener,
  SourceMessage,
  SourceStatus,
  StreamState,
} from "./ports/source.ts";
import { Reception } from "./reception.ts";
import { ConnectionLog, type RefusedHandshake } from "./sessions/connection-log.ts";
import { ConnectionRegistry } from "./sessions/connection-registry.ts";
import { Session } from "./sessions/session.ts";

import type { ClientWatcher } from "./sessions/session-parts.ts";

import type { Refusal } from "./subscribe/refusal.ts";
import type { StartFault } from "./subscribe/start-positions.ts";
import { SubscriptionManager } from "./subscribe/subscription-manager.ts";
import { Sweeper } from "./sweeper.ts";
import { FlushTimer } from "./timing/flush-timer.ts";
import { ReturnTimes } from "./timing/return-times.ts";
import { TurnShare } from "./timing/turn-share.ts";
import { UpstreamSubscriptions } from "./upstream/upstream-subscriptions.ts";
import { UpstreamNotifier } from "./upstream-notifier.ts";
import type { Dialect } from "./wire/dialect.ts";
import type { Envelope, EnvelopeEncoder, Position } from "./wire/envelope.ts";
import type { SubscriptionRequest } from "./wire/subscription-request.ts";

/**
 * An audience with more bytes than this pending is flushed at once: one write of so many bytes
 * costs the kernel hardly more than a smaller one, and more would only be memory.
 */
const FLUSH_BYTES = 128 * 1024;
/** A client whose subjects NATS refuses comes back to see whether they are allowed after this, and not sooner. */
const FORBIDDEN_MS = 30_000;

/**
 * All connections, and the way of each message to them: matched against audiences, encoded once,
 * written once per client and flush.
 */
export class Broadcaster implements ClientWatcher, SourceListener {
  /** Who is let in, and what is kept for who may come back. */
  readonly reception: Reception;
  readonly #options: BroadcasterOptions;
  readonly #clock: Clock;
  readonly #encoder: EnvelopeEncoder;
  readonly #meter: Meter;
  readonly #sweeper: Sweeper;
  readonly #governor: Governor;
  readonly #upstream: UpstreamSubscriptions;
  readonly #notifier: UpstreamNotifier;
  readonly #ring: Ring;
  readonly #streams: StreamRegistry;
  readonly #turnShare: TurnShare;
  readonly #subscriptions: SubscriptionManager;
  readonly #audiences: AudienceRegistry;
  readonly #incidents: IncidentLog;
  readonly #connections: ConnectionLog;
  readonly #observer: ConnectionObserver | undefined;
  readonly #timer: FlushTimer;
  readonly #returns: ReturnTimes;

  readonly #roster = new ConnectionRegistry();
  /** Audiences with messages for the next flush. */
  #pending: Audience[] = [];

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
    this.#connections = new ConnectionLog(parts.log, clock, () => meter.clientsActive);
    this.#observer = parts.observer;
    this.#returns = new ReturnTimes(clock, parts.random ?? Math.random);
    this.#timer = new FlushTimer(clock, options.flushIntervalMs, () => this.flush());
    this.#governor = new Governor(options.maxTotalQueueBytes, meter.ledger);
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
      // A client without a connection keeps its session, and is told when it comes back.
      refused: (client) => {
        if (this.#roster.open.has(client)) this.#subscriptions.endRefused(client);
      },
    });
    this.#subscriptions = new SubscriptionManager(options, {
      ...parts,
      random: parts.random ?? Math.random,
      audiences: this.#audiences,
      upstream: this.#upstream,
      ring: this.#ring,
      streams: this.#streams,
      turnShare: this.#turnShare,
      connected: () => this.#notifier.isConnected,
      last: () => this.#last,
    });
    this.reception = new Reception(options, {
      ...parts,
      audiences: this.#audiences,
      subscriptions: this.#subscriptions,
      turnShare: this.#turnShare,
      upstreamState: () => this.#notifier.state,
      last: () => this.#last,
    });
    this.#sweeper = new Sweeper(options, clock, meter, this.#roster);
  }

  /** From now on, clients may come in. */
  open(): void {
    this.#open = true;
  }

  /** From now on, none may; those that are in stay. */
  refuse(): void {
    this.#open = false;
  }

  /** Why no client may come in now, or `undefined` when one may. */
  get refusal(): "closed" | "full" | "overloaded" | undefined {
    if (!this.#open) return "closed";
    if (this.#roster.size >= this.#options.maxClients) return "full";
    return this.#governor.overloaded ? "overloaded" : undefined;
  }

  /** In how many milliseconds a client that is refused now may come again. */
  get refusedForMs(): number {
    return this.#returns.afterMs("refused", this.#roster.size);
  }

  /** In how many milliseconds a client that is taken in now may come back when its connection is lost. */
  get returnsAfterMs(): number {
    return this.#returns.among(this.#roster.open.size + 1);
  }

  /** The first of these patterns of which nothing is exposed. */
  hiddenOf(subjects: readonly string[] | undefined): string | undefined {
    return this.#subscriptions.hiddenOf(subjects);
  }

  /** Why nobody may subscribe to so much, or not now; `undefined`: one may. */
  excessOf(subjects: readonly string[] | undefined): Refusal | undefined {
    return this.#subscriptions.excessOf(subjects);
  }

  /** Why a request can't start where it says, whoever asks; `undefined`: it can. */
  startFaultOf(request: SubscriptionRequest): StartFault | undefined {
    return this.#subscriptions.startFaultOf(request);
  }

  /** How many durables are used. */
  get durables(): number {
    return this.#subscriptions.durables;
  }

  /** What is subscribed to upstream, and what of it the source has not confirmed. */
  get upstream(): Pick<UpstreamSubscriptions, "subscriptions" | "pending" | "refusal"> {
    return this.#upstream;
  }

  /** What is kept for clients that come back. */
  get kept(): { readonly messages: number; readonly bytes: number } {
    return this.#ring;
  }

  /**
   * Takes a connection in. One too many is closed with 4503; handshakes were refused before, so
   * that only those that were under way at the same time come here.
   *
   * @param request what it wants from the beginning on; its subjects are exposed.
   * @param session the name of an earlier connection, or of one to come, to whose messages it comes back.
   */
  accept(
    socket: ClientSocket,
    dialect: Dialect,
    request?: SubscriptionRequest,
    session?: string,
  ): FrameHandler {
    const { refusal } = this;
    const { compresses } = socket;
    const acked = this.reception.acknowledges(dialect);
    // Until it has subscribed it belongs to those that want nothing.
    const audience = this.#audiences.of({ dialect, compresses, acked, lists: [] });
    const client = new Session(socket, dialect, audience, {
      limits: this.#options,
      meter: this.#meter,
      clock: this.#clock,
      turnShare: this.#turnShare,
      watcher: this,
    });
    this.#roster.open.add(client);
    this.#meter.countConnect();
    this.#connections.connected(client, request);
    this.#observer?.connected(infoOf(client));
    this.#sweeper.start();
    const conversation = new FrameHandler(client, this.#options, this.#meter, this.#subscriptions);
    if (refusal === undefined) this.reception.admit(client, request, session);
    else client.end(refusal === "closed" ? "going_away" : "overloaded");
    return conversation;
  }

  /** A handshake was answered with an error. */
  handshakeRefused(handshake: RefusedHandshake): void {
    this.#meter.countRefusedHandshake();
    this.#connections.refused(handshake);
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
    // One encoding serves all audiences, and a message that nobody wants and nobody keeps has none.
    let envelope: Envelope | undefined;
    const encode = (): Envelope => {
      envelope ??= this.#encoder.encode(message, position, timestampMs);
      return envelope;
    };
    if (this.#ring.keeps) this.#ring.push(encode());
    else this.#ring.skip(position);
    const parked = this.reception.sessions?.parked.size ?? 0;
    if (this.#roster.open.size === 0 && parked === 0) return;
    this.#audiences.match(message.subject, (audience) => {
      if (audience.lastSerial === sequence) return;
      audience.lastSerial = sequence;
      if (audience.add(encode())) this.#pending.push(audience);
      if (audience.pendingBytes >= FLUSH_BYTES) this.#flushAudience(audience);
    });
    if (parked > 0) this.reception.sessions?.grew(encode().byteLength);
    this.#relieve();
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

  /** The source may not follow a stream: whoever waits for it has an answer, whoever has it is told. */
  streamRefused(name: string, reason: string): void {
    this.#notifier.streamRefused(this.#streams.refuse(name, reason), reason);
    this.fault("stream_refused", `stream ${name} is not followed: ${reason}`);
  }

  fault(kind: SourceFault, detail: string): void {
    this.#meter.countError(kind, detail);
    this.#incidents.fault(kind, detail);
  }

  /** Writes all that waits for a flush. */
  flush(): void {
    const startMs = this.#timer.begins();
    const pending = this.#pending;
    this.#pending = [];
    for (const audience of pending) this.#flushAudience(audience);
    for (const client of this.#roster.takeHungry()) {
      client.feed();
      this.#sweeper.watch(client);
    }
    this.#relieve();
    this.#meter.broadcastSeconds.add((this.#timer.ends() - startMs) / 1000);
  }

  /**
   * Ends all connections with 1001: those that keep up at once, those that lag when their queue
   * is empty, all of them when the time is up. Resolves when the last socket is closed or given up.
   */
  async drain(timeoutMs: number): Promise<void> {
    this.refuse();
    this.reception.sessions?.stop();
    this.flush();
    this.#sweeper.drainUntil(this.#clock.nowMs() + timeoutMs);
    await this.#roster.empty();
    this.#sweeper.stop();
    this.reception.stop();
    this.#subscriptions.stop();
    this.#turnShare.stop();
    this.#upstream.stop();
    this.#connections.stop();
    this.#timer.stop();
  }

  /** @internal */
  queues(client: Session, queued: boolean): void {
    this.#roster.queues(client, queued);
  }

  /** @internal */
  hungers(client: Session): void {
    this.#roster.hungers(client);
    this.#timer.schedule();
  }

  /** @internal */
  retryAfterMs(cause: CloseCause): number {
    // When the gateway stops, everybody must come back, and those that are ended first know of the others.
    const others = cause === "going_away" ? this.#roster.open.size : 0;
    const afterMs = this.#returns.afterMs(cause, others);
    return cause === "forbidden" ? FORBIDDEN_MS + afterMs : afterMs;
  }

  /** @internal */
  parks(client: Session): void {
    // Nobody can come back to a gateway that goes.
    if (this.#open) this.reception.sessions?.parks(client);
  }

  /** @internal */
  left(audience: Audience): void {
    this.#audiences.forget(audience);
  }

  /** @internal */
  ended(client: Session, reason: DisconnectReason): void {
    this.#roster.ended(client);
    this.#meter.countDisconnect(reason);
    this.#connections.left(client, reason);
    const connectedMs = this.#clock.nowMs() - client.sinceMs;
    this.#observer?.disconnected(infoOf(client), { reason, connectedMs });
    this.#incidents.ended(reason, client.socket.remoteAddress);
    this.reception.sessions?.forget(client);
    this.#subscriptions.forget(client);
    this.#audiences.forget(client.audience);
  }

  /** @internal */
  gone(client: Session): void {
    if (this.#roster.gone(client)) this.#sweeper.stop();
  }

  get #last(): Position {
    return { origin: this.#origin, sequence: this.#sequence };
  }

  #relieve(): void {
    this.#governor.relieve(this.#roster.queued, this.reception.sessions?.parked.keys());
  }

  #flushAudience(audience: Audience): void {
    audience.flush();
    // Between two sweeps no member's buffer may grow to where its runtime would drop in silence.
    if (audience.writtenBytes - audience.sweptAtBytes >= this.#options.highWaterBytes) {
      this.#sweeper.sweepAudience(audience);
    }
  }
}

function infoOf(client: Session): ClientInfo {
  return {
    id: client.number,
    address: client.socket.remoteAddress,
    dialect: client.dialect.name,
  };
}
