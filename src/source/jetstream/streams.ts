import { reasonOf } from "../../core/ports/errors.ts";
import type { Log } from "../../core/ports/log.ts";
import type { SourceListener, StreamInput, StreamStatus } from "../../core/ports/source.ts";
import type { NatsConnection } from "../connect.ts";
import { Requests } from "../requests.ts";
import type { DurableBounds } from "./durable.ts";
import { JetStreamDurables } from "./durables.ts";
import { FollowedStream } from "./followed-stream.ts";
import { JetStreamHistory } from "./history.ts";
import type { KeyBucket } from "./key-bucket.ts";
import { StreamApi } from "./stream-api.ts";

/** The buckets that the gateway reads for itself. */
interface Buckets {
  /** The gateway has a problem if this one isn't followed. */
  readonly needed?: KeyBucket | undefined;
  readonly other?: KeyBucket | undefined;
}

/** The streams of a source. Each has one consumer on each connection, however many clients there are. */
export class Streams {
  readonly history: JetStreamHistory;
  /** `undefined` if clients can't use durables. */
  readonly durables: JetStreamDurables | undefined;
  readonly #followed: readonly FollowedStream[];
  readonly #buckets: Buckets;
  #api: StreamApi | undefined;
  #requests: Requests | undefined;

  /** @param buckets what is followed too. */
  constructor(
    inputs: readonly StreamInput[],
    bounds: DurableBounds | undefined,
    log: Log,
    buckets: Buckets = {},
  ) {
    this.#buckets = buckets;
    this.durables = bounds && new JetStreamDurables(bounds, log);
    this.#followed = inputs.map((input) => new FollowedStream(input, log));
    this.history = new JetStreamHistory(() => {
      if (this.#api === undefined) throw new Error("there is no connection to NATS");
      return this.#api;
    });
  }

  /** Why some of them are not followed although there is a connection. */
  get problems(): string[] {
    if (this.#api === undefined) return [];
    return [...this.#followed, this.#buckets.needed].flatMap((followed) => followed?.problem ?? []);
  }

  /** How far each of them has come. */
  get statuses(): StreamStatus[] {
    return this.#followed.map(({ status }) =>
      this.#api === undefined ? { ...status, isFollowed: false } : status,
    );
  }

  /** Follows all of them on a connection, from their places on the last one. */
  open(connection: NatsConnection, listener: SourceListener): void {
    this.#requests = new Requests(connection, {
      unreadable: (detail) => listener.fault("unreadable_headers", detail),
      fault: (thrown) => listener.fault("source_fault", reasonOf(thrown)),
      refused: (detail) => listener.fault("stream_refused", detail),
      denied: ({ message }) => listener.fault("publish_refused", message),
    });
    this.#api = new StreamApi(this.#requests);
    for (const stream of this.#followed) void stream.open(this.#api, listener);
    for (const bucket of this.#allBuckets) void bucket.open(this.#api, listener);
    this.durables?.open(this.#api);
  }

  /** NATS denied us to publish to a subject. */
  denied(subject: string): void {
    this.#requests?.denied(subject);
  }

  /** Delivers nothing more; settlements still arrive. */
  drain(): void {
    this.#api = undefined;
    this.history.close();
    for (const stream of this.#followed) stream.close();
    for (const bucket of this.#allBuckets) bucket.close();
    this.durables?.drain();
  }

  close(): void {
    this.#api = undefined;
    this.history.close();
    for (const stream of this.#followed) stream.close();
    for (const bucket of this.#allBuckets) bucket.close();
    this.durables?.close();
    this.#requests?.close();
  }

  get #allBuckets(): KeyBucket[] {
    return [this.#buckets.needed, this.#buckets.other].filter((bucket) => bucket !== undefined);
  }
}
