// The types need it, also in a page whose `lib` is older.
/// <reference lib="esnext.disposable" preserve="true" />
import type { DeliveryMode, From, Policy } from "../protocol/fields.ts";
import type { SubscribedFrame } from "../protocol/server-frames.ts";
import { closedError, SpillwayError } from "./errors.ts";
import { Feed, type FeedSink } from "./feed.ts";
import { type Data, type Gap, type Item, ReceivedMessage } from "./item.ts";
import { ItemBuffer, type Note, type Waiting } from "./item-buffer.ts";
import type { Platform } from "./platform.ts";
import type { Router } from "./router.ts";
import { FRAME_MS, foldInto, type SnapshotStore } from "./snapshot-store.ts";
import type { SchemaIssue, StandardSchema } from "./standard-schema.ts";
import { isLiteral } from "./subject.ts";

/** Options of a subscription. */
export interface SubscribeOptions<T> {
  /** The first message. Default: as the gateway's `start_from` says, new messages unless configured. */
  readonly from?: From;
  /**
   * The effect of a loop or a network that is too slow, at the gateway and in the buffer here. Default: the gateway's,
   * and `drop-oldest` in the buffer.
   */
  readonly policy?: Policy;
  /** The maximum number of messages per second of each subject; more than 0, at most 1000. */
  readonly maxRate?: number;
  /** The mode that the gateway must have; otherwise the subscription is refused. */
  readonly mode?: DeliveryMode;
  /** In at-least-once: the name of a durable of one stream, which remembers on all gateways what was acknowledged. */
  readonly durable?: string;
  /**
   * Keeps its place in the connection's `cursors` under this name: the next subscription of that name continues there,
   * wherever `from` says. One loop at a time uses a name. Default: the place isn't kept.
   */
  readonly session?: string;
  /** Checks payloads, and gives them their type. A payload that doesn't fit is an `invalid` item. */
  readonly schema?: StandardSchema<T>;
  /** The most messages that wait for the loop, at least 1. Default: 1024. In at-least-once, the gateway bounds them. */
  readonly buffer?: number;
  /** Ends the subscription. */
  readonly signal?: AbortSignal;
}

/** The terms that the gateway has confirmed. */
export interface SubscriptionTerms {
  /** The subjects that the client gets. */
  readonly subjects: readonly string[];
  readonly policy: Policy;
  /** In messages per second of each subject; `undefined`: no limit. */
  readonly maxRate: number | undefined;
  /** The cursor after which it began. */
  readonly from: string;
}

/** A gap, where it may not pass as an item. */
export class GapError extends SpillwayError {
  override readonly name = "GapError";
  declare readonly gap: Gap;

  constructor(gap: Gap) {
    super("gap", `Messages are missing: ${gap.reason}, ${gap.from} to ${gap.to}`);
    this.gap = gap;
  }
}

/** The part of its connection that a subscription needs. */
export interface SubscriptionHost {
  readonly platform: Platform;
  readonly router: Router;
  /** The loop has processed messages up to a place: a cursor, and the subjects that have ended before it. */
  processed(place: string): void;
}

interface Validated {
  readonly value?: unknown;
  readonly issues?: readonly SchemaIssue[] | undefined;
}

const DEFAULT_BUFFER = 1024;
/** The key of an iterator. Hermes had no symbol before React Native 0.84; `for await` uses this name there, by Babel. */
const ASYNC_ITERATOR: typeof Symbol.asyncIterator = Symbol.asyncIterator ?? "@@asyncIterator";

/**
 * Messages of some subjects, for one loop. It continues over lost connections; what is missing is a `gap` in its place.
 *
 * The loop throws a {@linkcode SpillwayError} if the gateway refuses the subscription, and ends if it is closed. Leaving
 * the loop closes it.
 */
export class Subscription<T> implements AsyncIterable<Item<T>>, AsyncDisposable {
  /** Resolves when the subscription is in effect; rejects if it is refused, closed or ended before. */
  declare readonly ready: Promise<SubscriptionTerms>;
  /** For the connection. */
  declare readonly feed: Feed;
  readonly #host: SubscriptionHost;
  readonly #options: SubscribeOptions<T>;
  readonly #buffer = new ItemBuffer();
  readonly #unended: Set<string> | undefined;
  /** The subjects, all without wildcards, whose end the loop was given. */
  readonly #ended = new Set<string>();
  /** The loops that wait for an item. */
  readonly #readers: ((item: Waiting | Promise<Waiting | undefined>) => void)[] = [];
  readonly #close = (): void => this.close();
  #settleReady!: { resolve(terms: SubscriptionTerms): void; reject(error: unknown): void };
  #policy: Policy;
  #cursor: string | undefined;
  /** The message that the loop's body has now. */
  #current: ReceivedMessage | undefined;
  #isOver = false;
  #error: SpillwayError | undefined;

  /** @param place where an earlier run left off. */
  constructor(
    host: SubscriptionHost,
    subjects: readonly string[],
    options: SubscribeOptions<T>,
    place: string | undefined,
  ) {
    const [after, ...ended] = place?.split(" ") ?? [];
    const { policy, buffer = DEFAULT_BUFFER, signal } = options;
    if (!(buffer >= 1)) throw new RangeError('"buffer" is at least 1');
    this.#host = host;
    this.#options = options;
    this.#cursor = after;
    this.#policy = policy ?? "drop-oldest";
    this.#unended = subjects.every(isLiteral) ? new Set(subjects) : undefined;
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve, reject };
    });
    // A program that doesn't wait for it learns of the refusal in the loop.
    this.ready.catch(() => {});
    this.feed = new Feed({ ...options, subjects, after, buffer }, this.#sink());
    signal?.addEventListener("abort", this.#close);
    if (signal?.aborted) this.#close();
    for (const subject of ended) if (this.#unended?.has(subject)) this.#endSubject(subject);
  }

  /** The `id` of the last message that the loop has processed, with which another subscription resumes. */
  get cursor(): string | undefined {
    return this.#cursor;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** Ends the subscription and its loops. May be called twice. */
  close(): void {
    this.#end();
    this.#drop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  [ASYNC_ITERATOR](): AsyncIterator<Item<T>, undefined> {
    return {
      next: async () => {
        const value = await this.#next();
        return { done: value === undefined, value } as IteratorResult<Item<T>, undefined>;
      },
      return: async () => {
        this.close();
        return { done: true, value: undefined };
      },
    };
  }

  /**
   * Yields messages only.
   *
   * @throws GapError in the place of missing messages.
   * @throws SpillwayError `invalid` if a payload doesn't fit the schema.
   */
  async *messages(): AsyncGenerator<Data<T>, void, void> {
    for await (const item of this) {
      if (item.type === "data") yield item;
      else if (item.type === "gap") throw new GapError(item);
      else if (item.type === "invalid") {
        const why = item.issues.map(({ message }) => message).join("; ");
        throw new SpillwayError("invalid", `The payload of ${item.id} doesn't fit: ${why}`);
      }
    }
  }

  /**
   * Returns the items as a stream; cancelling it closes the subscription.
   *
   * @throws SpillwayError `unsupported` where there is no `ReadableStream`, as in React Native.
   */
  stream(): ReadableStream<Item<T>> {
    if (globalThis.ReadableStream === undefined) {
      throw new SpillwayError("unsupported", "This runtime has no ReadableStream: use the loop");
    }
    return new ReadableStream<Item<T>>(
      {
        pull: async (controller) => {
          const item = await this.#next();
          if (item === undefined) controller.close();
          else controller.enqueue(item);
        },
        cancel: () => this.close(),
      },
      { highWaterMark: 0 },
    );
  }

  /**
   * Folds the items into a value that a page shows. If the gateway refuses the subscription, `ready` rejects.
   *
   * @param fold returns the next value; another object than before if it has changed.
   * @param start the first value.
   * @param everyMs listeners are called at most once in this time. Default: 16, the frame of a screen.
   */
  snapshot<S>(
    fold: (state: S, item: Item<T>) => S,
    start: S,
    everyMs: number = FRAME_MS,
  ): SnapshotStore<S> {
    return foldInto(this, fold, start, everyMs, this.#host.platform, (error) => {
      this.close();
      // An error of `fold` is a rejection that nobody handles, which the runtime reports.
      if (!(error instanceof SpillwayError)) void Promise.reject(error);
    });
  }

  async #next(): Promise<Item<T> | undefined> {
    this.#settleCurrent();
    const item = this.#buffer.take() ?? (await this.#wait());
    const { feed } = this;
    if (this.#buffer.messages * 8 <= feed.request.buffer) this.#host.router.slow(feed, false);
    if (!(item instanceof ReceivedMessage)) {
      if (item?.type === "end" && this.#unended !== undefined && this.#cursor !== undefined) {
        this.#ended.add(item.subject);
        this.#processed(this.#cursor);
      }
      return item;
    }
    this.#current = item;
    const { issues, value } = await this.#validate(item.payload);
    if (issues === undefined) item.payload = value;
    else Object.assign(item, { type: "invalid", issues });
    return item as Item<T>;
  }

  /** If the schema throws, the loop ends without closing the subscription itself. */
  async #validate(payload: unknown): Promise<Validated> {
    try {
      const result = this.#options.schema?.["~standard"].validate(payload);
      return { value: payload, ...(await result) };
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The loop's body is done with its message. */
  #settleCurrent(): void {
    const current = this.#current;
    if (current === undefined) return;
    this.#current = undefined;
    current.ack();
    this.#processed(current.id);
  }

  #processed(cursor: string): void {
    this.#cursor = cursor;
    this.#host.processed([cursor, ...this.#ended].join(" "));
  }

  async #wait(): Promise<Waiting | undefined> {
    if (this.#error !== undefined) throw this.#error;
    if (this.#isOver) return undefined;
    return await new Promise((resolve) => this.#readers.push(resolve));
  }

  #sink(): FeedSink {
    const { router } = this.#host;
    const { acks } = router;
    return {
      subscribed: (frame) => this.#subscribed(frame),
      data: (frame) => {
        if (router.isAtLeastOnce) acks.begin(frame.id, this.feed);
        this.#data(new ReceivedMessage(frame, (how, id) => acks[how](id, this.feed, frame)));
      },
      note: (notice) => {
        const { type } = notice;
        if (type === "end") this.#endSubject(notice.subject);
        else if (type === "gap") {
          const { reason, from, to, count, exact = true } = notice;
          this.#note({ type, reason, from, to, count, exact });
        } else this.#note({ type });
      },
      failed: (error) => this.#end(error),
    };
  }

  #endSubject(subject: string): void {
    this.#note({ type: "end", subject });
    this.#unended?.delete(subject);
    if (this.#unended?.size === 0) this.#end();
  }

  #subscribed({ subjects, policy, max_rate: maxRate, from }: SubscribedFrame): void {
    if (this.#options.policy !== undefined) this.#policy = policy;
    this.#settleReady.resolve({ subjects, policy, maxRate, from });
  }

  #data(message: ReceivedMessage): void {
    if (this.#give(message)) return;
    const { feed } = this;
    const { buffer } = feed.request;
    const { router } = this.#host;
    // In at-least-once, the gateway sends no more than it may without acknowledgements.
    const isKept = router.isAtLeastOnce && this.#policy !== "conflate";
    const isFull = this.#buffer.messages >= buffer && !isKept;
    if (isFull && this.#policy === "disconnect") {
      const error = new SpillwayError("slow_consumer", "The loop is too slow", { retryable: true });
      this.#end(error);
      return;
    }
    this.#buffer.add(message, this.#policy, isFull)?.ack();
    if (this.#buffer.messages * 2 >= buffer) router.slow(feed, true);
  }

  #note(item: Note): void {
    if (!this.#give(item)) this.#buffer.note(item);
  }

  /** Gives an item to a loop that waits. @returns whether there is one. */
  #give(item: Waiting): boolean {
    const give = this.#readers.shift();
    give?.(item);
    return give !== undefined;
  }

  /** Takes nothing more; what waits is still read. */
  #end(error?: SpillwayError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#error = error;
    this.#options.signal?.removeEventListener("abort", this.#close);
    this.#host.router.remove(this.feed);
    this.#settleReady.reject(error ?? closedError("The subscription"));
    for (const give of this.#readers.splice(0)) give(this.#wait());
  }

  /** Drops what waits: nobody reads it. */
  #drop(): void {
    const { acks } = this.#host.router;
    this.#buffer.clear();
    // Whether the loop's body has processed its message is unknown.
    acks.forget(this.#current?.id ?? "", this.feed);
    // A durable brings the others to its next client.
    acks.leave(this.feed, this.#options.durable !== undefined);
    this.#current = undefined;
    this.#error = undefined;
  }
}
