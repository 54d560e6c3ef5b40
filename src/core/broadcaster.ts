import type { Grant, GrantedRequest } from "./access/grant.ts";
import type { Refusal } from "./access/refusal.ts";
import { RedeliveryPolicy } from "./acks/redelivery-policy.ts";
import type { BroadcasterOptions, BroadcasterParts } from "./broadcaster-options.ts";
import type { ClientBroadcaster, Clients } from "./clients.ts";
import type { Audience } from "./fanout/audience.ts";
import { AudienceRegistry } from "./fanout/audience-registry.ts";
import { FrameHandler } from "./frame-handler.ts";
import { GapLog } from "./history/gap-log.ts";
import { Ring } from "./history/ring.ts";
import { StreamRegistry } from "./history/stream-registry.ts";
import type { Meter } from "./metering/meter.ts";
import type { Clock } from "./ports/clock.ts";
import type {
  SourceFault,
  SourceListener,
  SourceMessage,
  SourceStatus,
  StreamState,
} from "./ports/source.ts";
import type { DeliveryTrace, Tracer } from "./ports/tracer.ts";
import { Publishing } from "./publishing/publishing.ts";
import { BacklogRegistry } from "./sessions/backlog-registry.ts";
import type { Connection } from "./sessions/connection.ts";
import type { Session } from "./sessions/session.ts";
import { SessionRegistry } from "./sessions/session-registry.ts";
import type { Selection } from "./subject/subject.ts";
import type { StartFault } from "./subscribe/start-positions.ts";
import { SubscriptionManager } from "./subscribe/subscription-manager.ts";
import { AdaptiveFlushPace, FixedFlushPace } from "./timing/flush-pace.ts";
import { FlushTimer } from "./timing/flush-timer.ts";
import { TimerQueue } from "./timing/timer-queue.ts";
import { TurnShare } from "./timing/turn-share.ts";
import { UpstreamSubscriptions } from "./upstream/upstream-subscriptions.ts";
import { UpstreamNotifier } from "./upstream-notifier.ts";
import type { Envelope, EnvelopeEncoder, Position } from "./wire/envelope.ts";

/**
 * An audience with more bytes than this pending is flushed at once: one write of so many bytes
 * costs the kernel hardly more than a smaller one, and more would only be memory.
 */
const FLUSH_BYTES = 128 * 1024;

/**
 * Sends each message of an account to the clients that want it: the message is matched against audiences, encoded
 * once, and written once per client and flush.
 */
export class Broadcaster implements SourceListener, ClientBroadcaster {
  readonly sessions: SessionRegistry;
  readonly frames: FrameHandler;
  readonly backlogs: BacklogRegistry;
  readonly #options: BroadcasterOptions;
  readonly #clock: Clock;
  readonly #encoder: EnvelopeEncoder;
  readonly #meter: Meter;
  readonly #clients: Clients;
  /** Begins the text of each fault. */
  readonly #faultPrefix: string;
  readonly #upstream: UpstreamSubscriptions;
  readonly #notifier: UpstreamNotifier;
  readonly #ring: Ring;
  readonly #streams: StreamRegistry;
  readonly #turnShare: TurnShare;
  /** For all that must be acknowledged, and for sessions that expire. */
  readonly #ackTimers: TimerQueue;
  readonly #subscriptions: SubscriptionManager;
  readonly #audiences: AudienceRegistry<Session>;
  /** Publishes what clients send. */
  readonly publishing: Publishing;
  readonly #timer: FlushTimer;
  readonly #tracer: Tracer | undefined;

  /** Audiences with messages for the next flush. */
  #pending: Audience<Session>[] = [];
  /** The traces of messages that are sent with the next flush. */
  #traces: DeliveryTrace[] = [];

  /** No id of another run is one of this run's: a cursor says where it comes from. */
  readonly #origin = crypto.randomUUID().replaceAll("-", "").slice(0, 12);
  #sequence = 0;

  constructor(options: BroadcasterOptions, parts: BroadcasterParts) {
    const { clock, meter } = parts;
    this.#options = options;
    this.#clock = clock;
    this.#encoder = parts.encoder;
    this.#meter = meter;
    this.#clients = parts.clients;
    this.#tracer = parts.tracer;
    const { random = Math.random, isRevoked = () => false } = parts;
    const { flushIntervalMs } = options;
    const pace =
      flushIntervalMs === "auto" ? new AdaptiveFlushPace() : new FixedFlushPace(flushIntervalMs);
    this.#timer = new FlushTimer(clock, pace, () => this.flush());
    this.backlogs = new BacklogRegistry(this.#timer);
    this.#ring = new Ring(options);
    const { account } = options;
    this.#faultPrefix = account === undefined ? "" : `account ${account}: `;
    // All accounts share the topics of the runtime.
    const topicPrefix = account === undefined ? "" : `${account}/`;
    this.#audiences = new AudienceRegistry(
      parts.fanouts,
      { ...{ options, clock }, ledger: meter.ledger },
      topicPrefix,
    );
    this.#turnShare = new TurnShare(parts.clients.turns);
    this.#streams = new StreamRegistry(options.streams, this.#ring, clock, () =>
      this.#upstream.missed(),
    );
    this.#upstream = new UpstreamSubscriptions(options, {
      clock,
      source: parts.source,
      turnShare: this.#turnShare,
      sequence: () => this.#sequence,
    });
    const gaps = new GapLog();
    this.#notifier = new UpstreamNotifier(options, {
      audiences: this.#audiences,
      gaps,
      upstream: this.#upstream,
      turnShare: this.#turnShare,
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
    const { presence } = parts.clients;
    this.#subscriptions = new SubscriptionManager(options, {
      ...{ ...parts, acks },
      changed: presence && (({ connection }) => connection && presence.clientChanged(connection)),
      upstream: this.#upstream,
      ring: this.#ring,
      gaps,
      streams: this.#streams,
      turnShare: this.#turnShare,
      connected: () => this.#notifier.isConnected,
      last: () => this.#last,
    });
    this.sessions = new SessionRegistry(options, {
      ...{ ...parts, acks },
      audiences: this.#audiences,
      backlogs: this.backlogs,
      subscriptions: this.#subscriptions,
      turnShare: this.#turnShare,
      upstreamState: () => this.#notifier.state,
      last: () => this.#last,
      isRevoked,
    });
    this.publishing = new Publishing(options, {
      ...{ clock, meter, log: parts.log, publisher: parts.publisher, tracer: parts.tracer },
    });
    this.frames = new FrameHandler(options, meter, {
      subscriptions: this.#subscriptions,
      authentication: parts.clients.authentication,
      publishing: this.publishing,
      presence,
    });
    parts.clients.add(this);
  }

  /** A connection is not open any more. */
  ended(connection: Connection): void {
    this.publishing.ended(connection);
  }

  /** Why nobody may subscribe to what a grant selects, or not now; `undefined`: one may. */
  excessOf(grant: Grant, granted: Selection): Refusal | undefined {
    return this.#subscriptions.excessOf(grant, granted);
  }

  /** Why a granted request can't start where it says; `undefined`: it can. */
  startFaultOf(grant: Grant, granted: GrantedRequest): StartFault | undefined {
    return this.#subscriptions.startFaultOf(grant, granted);
  }

  /** The gateway exposes other subjects than before; clients are given other grants for that. */
  exposureChanged(): void {
    this.#upstream.exposureChanged();
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

  /** Sends a message to every client that wants it. */
  message(message: SourceMessage): void {
    const trace = this.#tracer?.arrived(message);
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
    const { detached, size } = this.sessions;
    if (size === 0) {
      trace?.end();
      return;
    }
    this.#audiences.match(message.subject, (audience) => {
      if (audience.lastSerial === sequence) return;
      audience.lastSerial = sequence;
      if (audience.key.denied.denies(message.subject)) return;
      trace?.wanted(audience.live.size, audience.queued.size);
      if (audience.add(encode())) this.#pending.push(audience);
      if (audience.pendingBytes >= FLUSH_BYTES) this.#flushAudience(audience);
    });
    if (detached > 0) this.sessions.keepBytes();
    this.#clients.relieveQueues();
    if (this.#pending.length > 0) this.#timer.schedule();
    if (trace === undefined) return;
    if (this.#pending.length > 0) this.#traces.push(trace);
    else trace.end();
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
      const detail = `${this.#faultPrefix}NATS refuses ${pattern}: ${reason}`;
      this.#meter.countError("upstream_refused", detail);
    }
  }

  /** The source may not follow a stream: clients that wait for it get an answer, and its subscribers are told. */
  streamRefused(name: string, reason: string): void {
    this.#notifier.streamRefused(this.#streams.refuse(name, reason), reason);
    this.fault("stream_refused", `stream ${name} is not followed: ${reason}`);
  }

  fault(kind: SourceFault, detail: string): void {
    this.#meter.countError(kind, this.#faultPrefix + detail);
    this.#clients.fault(kind, this.#faultPrefix + detail);
  }

  /** Sends all pending messages, and drains the backlogs that are ready. */
  flush(): void {
    const startMs = this.#timer.begins();
    const pending = this.#pending;
    this.#pending = [];
    const traces = this.#traces;
    if (traces.length > 0) this.#traces = [];
    let flushed = 0;
    try {
      for (const audience of pending) {
        flushed++;
        this.#flushAudience(audience);
      }
      for (const session of this.backlogs.takeReady()) {
        session.drain();
        this.#clients.sweeper.watch(session);
      }
      this.#clients.relieveQueues();
    } finally {
      for (const trace of traces) trace.end();
      this.#meter.broadcastSeconds.add((this.#timer.ends() - startMs) / 1000);
      // An audience that throws doesn't keep the others from their messages.
      if (flushed < pending.length) {
        this.#pending.push(...pending.slice(flushed));
        this.#timer.schedule();
      }
    }
  }

  /** Drops all work that is left, and releases all timers. */
  stop(): void {
    for (const trace of this.#traces.splice(0)) trace.end();
    this.publishing.stop();
    this.#subscriptions.stop();
    this.#ackTimers.stop();
    this.#turnShare.stop();
    this.#upstream.stop();
    this.#timer.stop();
  }

  get #last(): Position {
    return { origin: this.#origin, sequence: this.#sequence };
  }

  #flushAudience(audience: Audience<Session>): void {
    audience.flush();
    if (audience.isToSweep(this.#options)) {
      this.#clients.sweeper.sweepAudience(audience);
    }
  }
}
