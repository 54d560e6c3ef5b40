import { SpillwayError } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { PresenceBucket } from "../core/ports/presence.ts";
import type {
  Durables,
  MessageSource,
  Publisher,
  SourceListener,
  SourceMessage,
  SourceStatus,
  StreamHistory,
  StreamInput,
  StreamStatus,
} from "../core/ports/source.ts";
import { isObject } from "../protocol/schema.ts";
import { connectNats, type NatsConnection } from "./connect.ts";
import type { NatsOptions } from "./connect-options.ts";
import type { DurableBounds } from "./jetstream/durable.ts";
import { type BucketRead, KeyBucket } from "./jetstream/key-bucket.ts";
import { Streams } from "./jetstream/streams.ts";
import { NatsPublisher } from "./nats-publisher.ts";
import { NatsSession } from "./nats-session.ts";
import { PatternSet } from "./pattern-set.ts";
import { probeServers } from "./server-probe.ts";
import { readServers } from "./servers.ts";
import { UnsendablePatterns } from "./unsendable-patterns.ts";
import { WatchedSubject } from "./watched-subject.ts";

/** What the gateway itself reads of NATS, beside the messages for clients. */
export interface GatewayReads {
  readonly bucket?: BucketRead | undefined;
  /** A bucket that the gateway also writes, and can do without. */
  readonly presence?: BucketRead | undefined;
  readonly subject?: { readonly name: string; take(data: Uint8Array): void } | undefined;
}

/** The most time that JetStream may take to store a key. */
const STORE_TIMEOUT_MS = 5_000;

/** Options of a {@linkcode NatsSource}. */
export interface NatsSourceOptions {
  readonly log: Log;
  /** The streams of JetStream that are followed, with or without clients. Default: none. */
  readonly streams?: readonly StreamInput[];
  /** The bounds of clients' durables. Default: clients can't use durables. */
  readonly durables?: DurableBounds | undefined;
  /** What the gateway itself reads. Default: nothing. */
  readonly reads?: GatewayReads | undefined;
  /** A function that makes a connection at `start`, or a connection that its owner closes. */
  readonly nats: { readonly options: NatsOptions } | { readonly connection: NatsConnection };
}

/**
 * Messages of core NATS, at most once and without history, and of streams of JetStream. Subscriptions stay when it
 * is stopped and started again.
 */
export class NatsSource implements MessageSource, Publisher {
  readonly name = "NATS";
  readonly #options: NatsSourceOptions;
  readonly #patterns = new PatternSet();
  readonly #unsendable = new UnsendablePatterns();
  readonly #hasStreams: boolean;
  readonly #streams: Streams | undefined;
  readonly #bucket: KeyBucket | undefined;
  readonly #presence: KeyBucket | undefined;
  readonly #watched: WatchedSubject | undefined;
  readonly clientPublisher = new NatsPublisher(this.#unsendable.lines);
  #session: NatsSession | undefined;

  /** @throws SpillwayError `NATS_OPTIONS`. */
  constructor(options: NatsSourceOptions) {
    if ("options" in options.nats) readServers(options.nats.options);
    this.#options = options;
    const { streams = [], durables, log, reads = {} } = options;
    const { bucket, presence, subject } = reads;
    this.#hasStreams = streams.length > 0;
    this.#bucket = bucket && new KeyBucket(bucket, log);
    this.#presence = presence && new KeyBucket(presence, log);
    const buckets = { needed: this.#bucket, other: this.#presence };
    this.#watched = subject && new WatchedSubject(subject.name, (data) => subject.take(data));
    this.#streams =
      this.#hasStreams || bucket !== undefined || presence !== undefined
        ? new Streams(streams, durables, log, buckets)
        : undefined;
  }

  get history(): StreamHistory | undefined {
    return this.#hasStreams ? this.#streams?.history : undefined;
  }

  get durables(): Durables | undefined {
    return this.#hasStreams ? this.#streams?.durables : undefined;
  }

  get problems(): readonly string[] {
    return [
      ...(this.#streams?.problems ?? []),
      ...(this.#watched?.problem ? [this.#watched.problem] : []),
    ];
  }

  /** Whether everything that the bucket of `reads` has was read once. */
  get wasBucketRead(): boolean {
    return this.#bucket?.wasRead ?? false;
  }

  /**
   * Writes a key of the bucket of `reads`.
   *
   * @throws an error in words for people if it isn't stored.
   */
  async store(key: string, value: string): Promise<void> {
    const bucket = this.#bucket as KeyBucket;
    const answer = await this.#ask(bucket.subjectOf(key), value, STORE_TIMEOUT_MS);
    const reason = failureIn(answer);
    if (reason !== undefined) throw new Error(`bucket ${bucket.name}: ${reason}`);
  }

  /** The bucket `presence` of `reads`; `undefined` if there is none. */
  get presenceBucket(): PresenceBucket | undefined {
    const bucket = this.#presence;
    if (bucket === undefined) return undefined;
    const none = new Uint8Array();
    const deletes = new Map([["KV-Operation", ["DEL"]]]);
    return {
      put: (key, value) =>
        this.#session?.write({ subject: bucket.subjectOf(key), data: encoder.encode(value) }),
      delete: (key) =>
        this.#session?.write({ subject: bucket.subjectOf(key), data: none, headers: deletes }),
    };
  }

  /** The reason why the bucket of `reads` is not followed, or loses entries too soon, in words for people. */
  get bucketProblem(): string | undefined {
    return problemOf(this.#bucket);
  }

  /** The same of the bucket `presence`. */
  get presenceProblem(): string | undefined {
    return problemOf(this.#presence);
  }

  get streams(): readonly StreamStatus[] {
    return this.#streams?.statuses ?? [];
  }

  get status(): SourceStatus {
    return this.#session?.status ?? { state: "idle" };
  }

  /** May be called again as soon as `stop` was called, even before that resolves. */
  start(listener: SourceListener): void {
    const before = this.#session;
    if (before !== undefined && !before.ending) {
      throw new SpillwayError("SOURCE_STARTED", "Cannot start a source that is started");
    }
    const { log, nats } = this.#options;
    this.#session = new NatsSession({
      patterns: this.#patterns,
      unsendable: this.#unsendable,
      streams: this.#streams,
      watched: this.#watched,
      publisher: this.clientPublisher,
      log,
      listener,
      after: before?.done,
      connection:
        "connection" in nats
          ? { owned: false, open: async () => nats.connection }
          : {
              owned: true,
              open: (stumbles) => connectNats(nats.options, stumbles),
              probe: (signal) => probeServers(readServers(nats.options), signal),
            },
    });
  }

  /** @throws SpillwayError `SUBJECT_INVALID`. */
  subscribe(pattern: string): void {
    if (this.#patterns.add(pattern)) this.#session?.subscribe(pattern);
  }

  unsubscribe(pattern: string): void {
    if (this.#patterns.delete(pattern)) this.#session?.unsubscribe(pattern);
  }

  /** Publishes to NATS. A message that can't be published is dropped and logged. */
  publish(message: SourceMessage): void {
    if (this.#session !== undefined) this.#session.publish(message);
    else
      this.#options.log.warn("Cannot publish to {subject}: the gateway is stopped", {
        subject: message.subject,
      });
  }

  /**
   * Sends a request, and returns the data of the first answer.
   *
   * @throws an error in words for people if there is no connection, nobody answers, or not in time.
   */
  async request(subject: string, data: string, timeoutMs: number): Promise<Uint8Array> {
    return await this.#ask(subject, data, timeoutMs);
  }

  async drain(timeoutMs: number): Promise<void> {
    await this.#session?.drain(timeoutMs);
  }

  async stop(timeoutMs: number): Promise<void> {
    const session = this.#session;
    await session?.end(timeoutMs);
    if (this.#session === session) this.#session = undefined;
  }

  async #ask(subject: string, data: string, timeoutMs: number): Promise<Uint8Array> {
    if (this.#session === undefined) throw new Error("the gateway is stopped");
    return await this.#session.ask(subject, data, timeoutMs);
  }
}

const encoder = new TextEncoder();

function problemOf(bucket: KeyBucket | undefined): string | undefined {
  return bucket?.problem ?? bucket?.lifeProblem;
}

/** Returns why JetStream didn't store a message, from its answer; `undefined` if it did. */
function failureIn(answer: Uint8Array): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(answer));
  } catch {
    return "the answer is no JSON";
  }
  if (!isObject(value)) return "the answer is no JSON object";
  if (isObject(value.error)) return String(value.error.description ?? "it was refused");
  return typeof value.seq === "number" ? undefined : "the answer names no sequence";
}
