import { type Msg, natsReason, type Subscription } from "../connect.ts";
import type { DurableBounds } from "./durable-consumer.ts";
import { nanoseconds, type StreamApi } from "./stream-api.ts";
import { type Delivery, readDelivery } from "./stream-message.ts";

/** A request for messages is good for so long, and JetStream says so often that it still is. */
const EXPIRES_MS = 30_000;
const HEARTBEAT_MS = 2_000;
/** So long without a word, and something is wrong. */
const SILENCE_MS = 3 * HEARTBEAT_MS;
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
  /** Nothing more comes, and why. */
  broken(reason: string): void;
}

/** Asks a consumer for messages as there is room for them, one request at a time (ADR-37). */
export class Pull {
  readonly #parts: PullParts;
  readonly #inbox = `_INBOX.${crypto.randomUUID().replaceAll("-", "")}`;
  readonly #subscription: Subscription;
  readonly #watch: ReturnType<typeof setInterval>;
  /** How many messages of the request that is under way have not come. */
  #asked = 0;
  #requests = 0;
  #heardMs = 0;

  constructor(parts: PullParts) {
    this.#parts = parts;
    this.#subscription = parts.api.connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, msg) => {
        if (error === null) this.#take(msg);
        else parts.broken(natsReason(error));
      },
    });
    this.#watch = setInterval(() => {
      const isSilent = performance.now() - this.#heardMs > SILENCE_MS;
      if (this.#asked > 0 && isSilent) parts.broken("JetStream is silent");
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
    this.#heardMs = performance.now();
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
    this.#subscription.unsubscribe();
  }

  /** What is said of the request that is under way comes there. */
  get #reply(): string {
    return `${this.#inbox}.${this.#requests}`;
  }

  #take(msg: Msg): void {
    this.#heardMs = performance.now();
    const delivery = readDelivery(msg.reply);
    if (delivery === undefined) {
      // Of an earlier one all is known.
      if (msg.subject === this.#reply) this.#hear(msg);
      return;
    }
    this.#asked--;
    this.#parts.take(msg, delivery);
    this.ask();
  }

  /** The request is still good, or it is over, or the consumer is. */
  #hear({ headers }: Msg): void {
    const { code = 0, description = "" } = headers ?? {};
    if (code < 200) return;
    const { bounds, roomBytes, broken } = this.#parts;
    this.#asked = 0;
    if (code === 404 || code === 408 || /^batch completed/i.test(description)) this.ask();
    else if (!/exceeds maxbytes/i.test(description)) broken(description);
    // What comes next is longer than there was room for: it comes when there is, or alone.
    else if (roomBytes() >= bounds.maxInflightBytes) this.ask(true);
  }
}
