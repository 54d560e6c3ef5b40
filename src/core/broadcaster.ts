import { Audience } from "./audience.ts";
import { Client, type ClientLimits, type ClientWatcher } from "./client.ts";
import type { Cancel, Clock } from "./clock.ts";
import type { Envelope, EnvelopeEncoder } from "./envelope.ts";
import { IncidentLog } from "./incident-log.ts";
import type { Log } from "./log.ts";
import type { DisconnectReason, Meter } from "./meter.ts";
import { CLOSE, type ClientSocket, type CloseCause, type Fanout } from "./socket.ts";
import type { SourceMessage } from "./source.ts";
import { SubjectTrie } from "./subject-trie.ts";
import { Sweeper } from "./sweeper.ts";

export interface BroadcasterOptions extends ClientLimits {
  /** More clients than this are not let in. */
  readonly maxClients: number;
  /** Messages that arrive within so long of a flush leave with the next one; 0: each turn has its flush. */
  readonly flushIntervalMs: number;
}

/** What a {@linkcode Broadcaster} stands on. */
export interface BroadcasterParts {
  readonly clock: Clock;
  readonly encoder: EnvelopeEncoder;
  readonly fanout: Fanout;
  readonly log: Log;
  readonly meter: Meter;
}

/**
 * An audience with more bytes than this pending is flushed at once: one write of so many bytes
 * costs the kernel hardly more than a smaller one, and more would only be memory.
 */
const FLUSH_BYTES = 128 * 1024;

/**
 * All connections, and the way of each message to them: matched against audiences, encoded once,
 * written once per client and flush.
 */
export class Broadcaster implements ClientWatcher {
  readonly #options: BroadcasterOptions;
  readonly #clock: Clock;
  readonly #encoder: EnvelopeEncoder;
  readonly #fanout: Fanout;
  readonly #meter: Meter;
  readonly #sweeper: Sweeper;

  readonly #incidents: IncidentLog;

  readonly #clients = new Set<Client>();
  readonly #lagging = new Set<Client>();
  readonly #closing = new Set<Client>();
  /** By topic, which is made of the subjects. */
  readonly #audiences = new Map<string, Audience>();
  /** Those that want only some subjects. */
  readonly #filtered = new SubjectTrie<Audience>();
  /** The one that wants everything, when somebody does. */
  #unfiltered: Audience | undefined;

  /** No id of another run is one of this run's: a cursor says where it comes from. */
  readonly #epoch = crypto.randomUUID().replaceAll("-", "").slice(0, 12);
  #serial = 0;
  #cancelFlush: Cancel | undefined;
  #lastFlushMs = Number.NEGATIVE_INFINITY;
  #whenEmpty: (() => void)[] = [];
  #open = false;

  constructor(options: BroadcasterOptions, parts: BroadcasterParts) {
    this.#options = options;
    this.#clock = parts.clock;
    this.#encoder = parts.encoder;
    this.#fanout = parts.fanout;
    this.#meter = parts.meter;
    this.#incidents = new IncidentLog(parts.log, parts.clock);
    this.#sweeper = new Sweeper(options, parts.clock, parts.meter, {
      open: this.#clients,
      lagging: this.#lagging,
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

  /** Whether one more client may come in now. */
  hasRoom(): boolean {
    // A connection that is not closed yet still costs what it costs.
    return this.#open && this.#clients.size + this.#closing.size < this.#options.maxClients;
  }

  /**
   * Takes a connection in. One too many is closed with 4503; handshakes were refused before, so
   * that only those that were under way at the same time come here.
   *
   * @param subjects valid patterns; `undefined` for all that the source delivers.
   */
  accept(socket: ClientSocket, subjects?: readonly string[]): Client {
    const refused: CloseCause = this.#open ? "overloaded" : "going_away";
    const welcome = this.hasRoom();
    const audience = this.#audienceFor(subjects);
    const client = new Client(socket, audience, this.#options, this.#meter, this.#clock, this);
    this.#clients.add(client);
    this.#meter.clientsTotal++;
    this.#meter.clientsActive++;
    this.#sweeper.start();
    if (!welcome) client.end(refused);
    return client;
  }

  /** Sends a message to every client that wants it. */
  publish(message: SourceMessage): void {
    const meter = this.#meter;
    const wallMs = this.#clock.wallMs();
    const size = message.data.length;
    meter.messagesReceived++;
    meter.bytesReceived += size;
    meter.messageBytes.add(size);
    meter.lastMessageMs = wallMs;
    const serial = ++this.#serial;
    if (this.#clients.size === 0) return;

    // One encoding serves all audiences, and a message that nobody wants has none.
    let envelope: Envelope | undefined;
    const give = (audience: Audience): void => {
      if (audience.lastSerial === serial) return;
      audience.lastSerial = serial;
      envelope ??= this.#encoder.encode(message, `${this.#epoch}:${serial}`, wallMs);
      audience.add(envelope);
      if (audience.pendingBytes >= FLUSH_BYTES) this.#flushAudience(audience);
    };
    if (this.#unfiltered !== undefined) give(this.#unfiltered);
    this.#filtered.match(message.subject, give);
    if (envelope !== undefined) this.#scheduleFlush();
  }

  /** Writes all that waits for a flush. */
  flush(): void {
    this.#cancelFlush?.();
    this.#cancelFlush = undefined;
    const startMs = this.#clock.nowMs();
    for (const audience of this.#audiences.values()) this.#flushAudience(audience);
    this.#lastFlushMs = this.#clock.nowMs();
    this.#meter.broadcastSeconds.add((this.#lastFlushMs - startMs) / 1000);
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
  }

  /** @internal A client tells that it lags, or no longer does. */
  lags(client: Client, lagging: boolean): void {
    if (lagging) this.#lagging.add(client);
    else this.#lagging.delete(client);
  }

  /** @internal A client tells that its connection is over. */
  ended(client: Client, reason: DisconnectReason): void {
    this.#clients.delete(client);
    if (client.state === "closing") this.#closing.add(client);
    this.#meter.clientsActive--;
    this.#meter.countDisconnect(reason);
    if (reason in CLOSE && reason !== "going_away") {
      this.#incidents.cut(reason as CloseCause, client.socket.remoteAddress);
    }
    if (client.audience.size === 0) this.#forget(client.audience);
  }

  /** @internal A client tells that its socket is closed. */
  gone(client: Client): void {
    this.#closing.delete(client);
    if (this.#clients.size + this.#closing.size > 0) return;
    this.#sweeper.stop();
    for (const resolve of this.#whenEmpty.splice(0)) resolve();
  }

  #audienceFor(subjects: readonly string[] | undefined): Audience {
    const topic = subjects === undefined ? "*" : [...new Set(subjects)].sort().join(",");
    let audience = this.#audiences.get(topic);
    if (audience === undefined) {
      audience = new Audience(topic, subjects, this.#fanout, this.#meter);
      this.#audiences.set(topic, audience);
      if (subjects === undefined) this.#unfiltered = audience;
      else for (const subject of subjects) this.#filtered.add(subject, audience);
    }
    return audience;
  }

  #forget(audience: Audience): void {
    this.#audiences.delete(audience.topic);
    if (audience === this.#unfiltered) this.#unfiltered = undefined;
    for (const subject of audience.subjects ?? []) this.#filtered.remove(subject, audience);
  }

  /** At once when the last flush is longer ago than the interval, otherwise when that time is up. */
  #scheduleFlush(): void {
    if (this.#cancelFlush !== undefined) return;
    const flush = (): void => this.flush();
    const waitMs = this.#lastFlushMs + this.#options.flushIntervalMs - this.#clock.nowMs();
    this.#cancelFlush = waitMs > 0 ? this.#clock.after(waitMs, flush) : this.#clock.soon(flush);
  }

  #flushAudience(audience: Audience): void {
    audience.flush();
    // Between two sweeps no member's buffer may grow to where its runtime would drop in silence.
    if (audience.writtenBytes - audience.sweptAtBytes >= this.#options.highWaterBytes) {
      this.#sweeper.sweepAudience(audience);
    }
  }
}
