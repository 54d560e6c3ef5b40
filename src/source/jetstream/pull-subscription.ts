import type { Msg, Subscription } from "../connect.ts";
import { newInbox } from "../listen.ts";
import { PermissionError } from "../requests.ts";
import type { DurableBounds } from "./ensure-durable.ts";
import { SilenceDetector } from "./silence-detector.ts";
import { nanoseconds, PausedError, type StreamApi } from "./stream-api.ts";
import { type Delivery, readDelivery } from "./stream-message.ts";

/** A request for messages is good for so long, and JetStream says so often that it still is. */
const EXPIRES_MS = 30_000;
const HEARTBEAT_MS = 2_000;
/** So long without a word, and something is wrong. */
const SILENCE_MS = 3 * HEARTBEAT_MS;
/** So long may NATS owe an answer then, as what is under way may be long. */
const ANSWER_MS = 10_000;
/** No request is for more messages. */
const MOST_MESSAGES = 512;

interface PullParts {
  readonly api: StreamApi;
  readonly stream: string;
  readonly consumer: string;
  readonly bounds: DurableBounds;
  /** How many bytes of messages may come now. */
  roomBytes(): number;
  take(msg: Msg, delivery: Delivery): void;
  /** JetStream serves it. */
  heard(): void;
  /** Nothing more comes, and why. */
  broken(reason: Error): void;
}

/** Asks a consumer for messages as there is room for them, one request at a time (ADR-37). */
export class PullSubscription {
  readonly #parts: PullParts;
  readonly #inbox = newInbox();
  readonly #subscription: Subscription;
  readonly #unwatch: () => void;
  readonly #watch: ReturnType<typeof setInterval>;
  /** How many messages of the request that is under way have not come. */
  #asked = 0;
  #requests = 0;
  readonly #silence: SilenceDetector;

  constructor(parts: PullParts) {
    this.#parts = parts;
    const { api, stream, consumer, broken } = parts;
    const { requests } = api;
    this.#subscription = requests.listen(`${this.#inbox}.*`, (msg) => this.#take(msg), broken);
    const next = api.nextSubject(stream, consumer);
    this.#unwatch = requests.watchDenials((subject) => {
      // A message that can't be acknowledged is sent again for ever.
      const isAck = subject.startsWith("$JS.ACK.") && subject.includes(`.${stream}.${consumer}.`);
      if (subject !== next && !isAck) return;
      broken(new PermissionError("publish", subject));
    });
    this.#silence = new SilenceDetector(api.connection, SILENCE_MS, (isSilent) => {
      if (this.#asked > 0 && isSilent) broken(new Error("JetStream is silent"));
    });
    this.#watch = setInterval(() => {
      if (this.#asked > 0 && this.#silence.watch() > ANSWER_MS)
        broken(new Error("there is no answer"));
    }, HEARTBEAT_MS);
  }

  /**
   * Asks for more, unless that is under way, or there is no room.
   *
   * @param alone for one message, of whatever length.
   */
  ask(alone = false): void {
    const { api, stream, consumer, bounds, roomBytes } = this.#parts;
    const bytes = roomBytes();
    if (this.#asked > 0 || bytes < 1) return;
    this.#asked = alone ? 1 : Math.min(MOST_MESSAGES, bounds.maxInflightMessages);
    this.#requests++;
    this.#silence.heard();
    const request = {
      batch: this.#asked,
      ...(!alone && { max_bytes: bytes }),
      expires: nanoseconds(EXPIRES_MS),
      idle_heartbeat: nanoseconds(HEARTBEAT_MS),
    };
    api.connection.publish(api.nextSubject(stream, consumer), JSON.stringify(request), {
      reply: this.#reply,
    });
  }

  /** Takes nothing more, whatever was asked for. */
  close(): void {
    clearInterval(this.#watch);
    this.#unwatch();
    this.#subscription.unsubscribe();
  }

  /** What is said of the request that is under way comes there. */
  get #reply(): string {
    return `${this.#inbox}.${this.#requests}`;
  }

  #take(msg: Msg): void {
    this.#silence.heard();
    const delivery = readDelivery(msg.reply);
    if (delivery === undefined) {
      // Of an earlier one all is known.
      if (msg.subject === this.#reply) this.#hear(msg);
      return;
    }
    this.#asked--;
    this.#parts.heard();
    this.#parts.take(msg, delivery);
    this.ask();
  }

  /** Nothing came for a while, and somebody may have paused it. */
  #look(): void {
    const { api, stream, consumer, broken } = this.#parts;
    api.expectUnpaused(stream, consumer).catch((thrown: unknown) => {
      if (thrown instanceof PausedError) broken(thrown);
    });
  }

  /** The request is still good, or it is over, or the consumer is. */
  #hear(msg: Msg): void {
    const { code, description } = this.#parts.api.requests.read(msg);
    if (code > 0 && code < 200) this.#parts.heard();
    if (code < 200) return;
    const { bounds, roomBytes, broken } = this.#parts;
    this.#asked = 0;
    if (code === 408) this.#look();
    if (code === 404 || code === 408 || /^batch completed/i.test(description)) this.ask();
    else if (!/exceeds maxbytes/i.test(description)) broken(new Error(description));
    // What comes next is longer than there was room for: it comes when there is, or alone.
    else if (roomBytes() >= bounds.maxInflightBytes) this.ask(true);
  }
}
