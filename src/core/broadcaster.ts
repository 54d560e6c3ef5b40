import type { Audience } from "./audience.ts";
import { AudienceBook } from "./audience-book.ts";
import type { BroadcasterOptions, BroadcasterParts } from "./broadcaster-parts.ts";
import { Client } from "./client.ts";
import type { ClientWatcher } from "./client-watcher.ts";
import type { Clock } from "./clock.ts";
import { Conversation } from "./conversation.ts";
import { Demand } from "./demand.ts";
import type { Dialect } from "./dialect.ts";
import type { Envelope, EnvelopeEncoder, Position } from "./envelope.ts";
import { FlushTimer } from "./flush-timer.ts";
import { Governor } from "./governor.ts";
import { IncidentLog } from "./incident-log.ts";
import type { DisconnectReason, Meter } from "./meter.ts";
import { Ring } from "./ring.ts";
import { CLOSE, type ClientSocket, type CloseCause } from "./socket.ts";
import type { SourceListener, SourceMessage, SourceStatus, StreamTip } from "./source.ts";
import { StreamDesk } from "./stream-desk.ts";
import { firstHidden } from "./subject.ts";
import { Subscribing } from "./subscribing.ts";
import type { SubscriptionRequest } from "./subscription.ts";
import { Sweeper } from "./sweeper.ts";
import { UpstreamWatch } from "./upstream-watch.ts";
import { welcome } from "./welcome.ts";

/**
 * An audience with more bytes than this pending is flushed at once: one write of so many bytes
 * costs the kernel hardly more than a smaller one, and more would only be memory.
 */
const FLUSH_BYTES = 128 * 1024;
/**
 * All connections, and the way of each message to them: matched against audiences, encoded once,
 * written once per client and flush.
 */
export class Broadcaster implements ClientWatcher, SourceListener {
  /** What streams keep, and where clients may begin there. */
  readonly streams: StreamDesk;
  readonly #options: BroadcasterOptions;
  readonly #parts: BroadcasterParts;
  readonly #clock: Clock;
  readonly #encoder: EnvelopeEncoder;
  readonly #meter: Meter;
  readonly #sweeper: Sweeper;
  readonly #governor: Governor;
  readonly #demand: Demand;
  readonly #upstream: UpstreamWatch;
  readonly #ring: Ring;
  readonly #subscribing: Subscribing;
  readonly #audiences: AudienceBook;
  readonly #incidents: IncidentLog;
  readonly #timer: FlushTimer;

  readonly #clients = new Set<Client>();
  readonly #queued = new Set<Client>();
  readonly #closing = new Set<Client>();
  /** Audiences with messages for the next flush. */
  #pending: Audience[] = [];
  /** Clients that keep up, and have something in a queue of their own. */
  readonly #hungry = new Set<Client>();

  /** No id of another run is one of this run's: a cursor says where it comes from. */
  readonly #origin = crypto.randomUUID().replaceAll("-", "").slice(0, 12);
  #sequence = 0;
  #whenEmpty: (() => void)[] = [];
  #open = false;

  constructor(options: BroadcasterOptions, parts: BroadcasterParts) {
    const { clock, meter } = parts;
    this.#options = options;
    this.#parts = parts;
    this.#clock = clock;
    this.#encoder = parts.encoder;
    this.#meter = meter;
    this.#incidents = new IncidentLog(parts.log, clock);
    this.#timer = new FlushTimer(clock, options.flushIntervalMs, () => this.flush());
    this.#governor = new Governor(options.maxTotalQueueBytes, meter);
    this.#ring = new Ring(options);
    this.#audiences = new AudienceBook(parts.fanouts, meter);
    this.streams = new StreamDesk(options, parts, this.#ring, () => this.#last);
    const demanded = { ...options, subjects: options.demanded };
    this.#demand = new Demand(demanded, clock, parts.source, () => this.#sequence);
    this.#upstream = new UpstreamWatch(options, this.#audiences, this.#demand, () => this.#last);
    this.#subscribing = new Subscribing(options, {
      audiences: this.#audiences,
      demand: this.#demand,
      ring: this.#ring,
      meter,
      ...this.streams,
      connected: () => this.#upstream.isConnected,
      last: () => this.#last,
    });
    this.#sweeper = new Sweeper(options, clock, meter, {
      open: this.#clients,
      closing: this.#closing,
    });
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
    // A connection that is not closed yet still costs what it costs.
    if (this.#clients.size + this.#closing.size >= this.#options.maxClients) return "full";
    return this.#governor.overloaded ? "overloaded" : undefined;
  }

  /** The first of these patterns of which nothing is exposed. */
  hiddenOf(subjects: readonly string[] | undefined): string | undefined {
    return firstHidden(this.#options.subjects, subjects);
  }

  /** What is subscribed to upstream, and what of it the source has not confirmed. */
  get upstream(): Pick<Demand, "subscriptions" | "pending" | "refusal"> {
    return this.#demand;
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
   */
  accept(socket: ClientSocket, dialect: Dialect, request?: SubscriptionRequest): Conversation {
    const { refusal } = this;
    const { compresses } = socket;
    // Until it has subscribed it belongs to those that want nothing.
    const audience = this.#audiences.of({ dialect, compresses, subjects: [] });
    const client = new Client(socket, dialect, audience, {
      limits: this.#options,
      meter: this.#meter,
      clock: this.#clock,
      watcher: this,
    });
    this.#clients.add(client);
    this.#meter.clientsTotal++;
    this.#meter.clientsActive++;
    this.#sweeper.start();
    const conversation = new Conversation(client, this.#options, this.#meter, this.#subscribing);
    if (refusal !== undefined) {
      client.end(refusal === "closed" ? "going_away" : "overloaded");
      return conversation;
    }
    client.tell(welcome(this.#options, this.#parts.version, this.#clock, this.#upstream.state));
    if (request !== undefined) this.#subscribing.subscribe(client, request);
    return conversation;
  }

  /** Sends a message to every client that wants it. */
  message(message: SourceMessage): void {
    const meter = this.#meter;
    const wallMs = this.#clock.wallMs();
    meter.countReceived(message.data.length, wallMs);
    const sequence = ++this.#sequence;

    const { timestampMs = wallMs } = message;
    const position = this.streams.book.place(message, sequence) ?? {
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
    if (this.#clients.size === 0) return;
    this.#audiences.match(message.subject, (audience) => {
      if (audience.lastSerial === sequence) return;
      audience.lastSerial = sequence;
      if (audience.add(encode())) this.#pending.push(audience);
      if (audience.pendingBytes >= FLUSH_BYTES) this.#flushAudience(audience);
    });
    this.#governor.relieve(this.#queued);
    if (this.#pending.length > 0) this.#timer.schedule();
  }

  status(status: SourceStatus): void {
    this.#upstream.status(status);
  }

  /** The source follows a stream, from the beginning on or again. */
  stream(tip: StreamTip): void {
    this.#upstream.stream(this.streams.book.follow(tip));
  }

  /** The source says that a pattern's messages arrive from now on. */
  arrives(pattern: string): void {
    this.#upstream.arrives(pattern);
  }

  /** The source may not subscribe to a pattern. */
  refused(pattern: string, reason: string): void {
    if (this.#upstream.refused(pattern, reason)) {
      this.#meter.countError("upstream_refused", `NATS refuses ${pattern}: ${reason}`);
    }
  }

  /** Writes all that waits for a flush. */
  flush(): void {
    const startMs = this.#timer.begins();
    const pending = this.#pending;
    this.#pending = [];
    for (const audience of pending) this.#flushAudience(audience);
    const hungry = [...this.#hungry];
    this.#hungry.clear();
    for (const client of hungry) {
      client.feed();
      this.#sweeper.watch(client);
    }
    this.#governor.relieve(this.#queued);
    this.#meter.broadcastSeconds.add((this.#timer.ends() - startMs) / 1000);
  }

  /**
   * Ends all connections with 1001: those that keep up at once, those that lag when their queue
   * is empty, all of them when the time is up. Resolves when the last socket is closed or given up.
   */
  async drain(timeoutMs: number): Promise<void> {
    this.refuse();
    this.flush();
    this.#sweeper.drainUntil(this.#clock.nowMs() + timeoutMs);
    if (this.#clients.size + this.#closing.size > 0) {
      await new Promise<void>((resolve) => this.#whenEmpty.push(resolve));
    }
    this.#sweeper.stop();
    this.#demand.stop();
    this.#timer.stop();
  }

  /** @internal */
  queues(client: Client, queued: boolean): void {
    if (queued) this.#queued.add(client);
    else this.#queued.delete(client);
  }

  /** @internal */
  hungers(client: Client): void {
    this.#hungry.add(client);
    this.#timer.schedule();
  }

  /** @internal */
  left(audience: Audience): void {
    this.#audiences.forget(audience);
  }

  /** @internal */
  ended(client: Client, reason: DisconnectReason): void {
    this.#clients.delete(client);
    this.#hungry.delete(client);
    if (client.state === "closing") this.#closing.add(client);
    this.#meter.clientsActive--;
    this.#meter.countDisconnect(reason);
    if (reason in CLOSE && reason !== "going_away") {
      this.#incidents.cut(reason as CloseCause, client.socket.remoteAddress);
    }
    this.#subscribing.forget(client);
    this.#audiences.forget(client.audience);
  }

  /** @internal */
  gone(client: Client): void {
    this.#closing.delete(client);
    if (this.#clients.size + this.#closing.size > 0) return;
    this.#sweeper.stop();
    for (const resolve of this.#whenEmpty.splice(0)) resolve();
  }

  get #last(): Position {
    return { origin: this.#origin, sequence: this.#sequence };
  }

  #flushAudience(audience: Audience): void {
    audience.flush();
    // Between two sweeps no member's buffer may grow to where its runtime would drop in silence.
    if (audience.writtenBytes - audience.sweptAtBytes >= this.#options.highWaterBytes) {
      this.#sweeper.sweepAudience(audience);
    }
  }
}
