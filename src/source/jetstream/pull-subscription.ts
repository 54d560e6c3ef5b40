import type { Msg, Subscription } from "../connect.ts";
import { PermissionError } from "../requests.ts";
import { newInbox } from "../safe-subscribe.ts";
import type { DurableBounds } from "./ensure-durable.ts";
import { SilenceDetector } from "./silence-detector.ts";
import { nanoseconds, PausedError, type StreamApi } from "./stream-api.ts";
import { type Delivery, readDelivery } from "./stream-message.ts";

/** How long a request for messages is valid, and how often JetStream sends a heartbeat meanwhile. */
const EXPIRES_MS = 30_000;
const HEARTBEAT_MS = 2_000;
/** After this long without a message or heartbeat, the consumer may be gone. */
const SILENCE_MS = 3 * HEARTBEAT_MS;
/** How long NATS may owe the answer to a ping then: long messages may be under way. */
const ANSWER_MS = 10_000;
/** The most messages of a request. */
const MOST_MESSAGES = 512;

interface PullParts {
  readonly api: StreamApi;
  readonly stream: string;
  readonly consumer: string;
  readonly bounds: DurableBounds;
  /** Returns how many bytes of messages may be delivered now. */
  roomBytes(): number;
  take(msg: Msg, delivery: Delivery): void;
  /** JetStream serves a request. */
  heard(): void;
  /** Nothing more is delivered, for this reason. */
  broken(reason: Error): void;
}

/**
 * Asks a consumer for messages as there is room for them, one request at a time (ADR-37).
 *
 * `consume` of nats.js 2.29 is not used. It bounds either messages or bytes, by a number that can't follow the
 * room of a client. It stops at a message that is longer than its bound, as it ignores that status. It reads
 * headers in its own callback, which throws where they are malformed, and then the socket is no longer read.
 */
export class PullSubscription {
  readonly #parts: PullParts;
  readonly #inbox = newInbox();
  readonly #subscription: Subscription;
  readonly #unwatch: () => void;
  readonly #watch: ReturnType<typeof setInterval>;
  /** How many messages of the present request have not come. */
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
      // A message that can't be acknowledged would be delivered again for ever.
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
   * Asks for more messages, unless a request is under way or there is no room.
   *
   * @param alone asks for one message of any length.
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

  /** Delivers nothing more, whatever was asked for. */
  close(): void {
    clearInterval(this.#watch);
    this.#unwatch();
    this.#subscription.unsubscribe();
  }

  /** The subject for statuses of the present request. */
  get #reply(): string {
    return `${this.#inbox}.${this.#requests}`;
  }

  #take(msg: Msg): void {
    this.#silence.heard();
    const delivery = readDelivery(msg.reply);
    if (delivery === undefined) {
      // Earlier requests are over.
      if (msg.subject === this.#reply) this.#takeStatus(msg);
      return;
    }
    this.#asked--;
    this.#parts.heard();
    this.#parts.take(msg, delivery);
    this.ask();
  }

  /** Nothing came while a request was valid: somebody may have paused the consumer. */
  #checkPause(): void {
    const { api, stream, consumer, broken } = this.#parts;
    api.expectUnpaused(stream, consumer).catch((thrown: unknown) => {
      if (thrown instanceof PausedError) broken(thrown);
    });
  }

  /** Takes a status: a heartbeat, the end of the request, or the end of the consumer. */
  #takeStatus(msg: Msg): void {
    const { code, description } = this.#parts.api.requests.read(msg);
    if (code > 0 && code < 200) this.#parts.heard();
    if (code < 200) return;
    const { bounds, roomBytes, broken } = this.#parts;
    this.#asked = 0;
    if (code === 408) this.#checkPause();
    if (code === 404 || code === 408 || /^batch completed/i.test(description)) this.ask();
    else if (!/exceeds maxbytes/i.test(description)) broken(new Error(description));
    // The next message is longer than the room. If the room can't grow, it comes alone; otherwise, later.
    else if (roomBytes() >= bounds.maxInflightBytes) this.ask(true);
  }
}
