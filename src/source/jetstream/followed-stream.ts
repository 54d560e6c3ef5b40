import { reasonOf } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { SourceListener, StreamInput } from "../../core/source.ts";
import { type Msg, type NatsConnection, natsReason } from "../connect.ts";
import { Patterns } from "../patterns.ts";
import { Backoff, pause, unlessAborted } from "../retry.ts";
import { filterOf, nanoseconds, type StreamApi, StreamApiError } from "./stream-api.ts";
import { readDelivery, StreamMessage } from "./stream-message.ts";

/** JetStream says so often that the consumer is there, when it has no messages. */
const HEARTBEAT_MS = 1_000;
/** So long without a word, and the consumer is made anew: it may be gone. */
const SILENCE_MS = 3 * HEARTBEAT_MS;
/** A consumer that lost us goes after so long. */
const INACTIVE_MS = 30_000;

/**
 * The live end of one stream: a consumer that sends in order, made anew behind the last message that
 * came whenever anything is wrong with it (ADR-17).
 */
export class FollowedStream {
  readonly input: StreamInput;
  readonly #log: Log;
  readonly #patterns = new Patterns();
  /** What it was when it was last looked at; `undefined` before, or when there was none. */
  #origin: string | undefined;
  /** The last message that has come of it. */
  #last = 0;
  /** Whether it was ever looked for: what is made later is followed from its first message on. */
  #looked = false;
  #trouble: string | undefined;
  #stopping = new AbortController();

  constructor(input: StreamInput, log: Log) {
    this.input = input;
    this.#log = log;
    for (const subject of input.subjects) this.#patterns.add(subject);
  }

  /** What keeps its messages from coming, in words for people. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  /** Follows it on a connection, until `close`. */
  async open(api: StreamApi, listener: SourceListener): Promise<void> {
    this.close();
    this.#stopping = new AbortController();
    const { signal } = this.#stopping;
    const retries = new Backoff();
    while (!signal.aborted) {
      try {
        await this.#follow(api, listener, signal, () => retries.reset());
      } catch (thrown) {
        if (signal.aborted) return;
        this.#stumble(thrown, listener);
      }
      await pause(retries.next(), signal);
    }
  }

  close(): void {
    this.#stopping.abort();
  }

  async #follow(
    api: StreamApi,
    listener: SourceListener,
    signal: AbortSignal,
    works: () => void,
  ): Promise<void> {
    const { name, subjects } = this.input;
    const info = await unlessAborted(api.stream(name), signal);
    if (info === undefined) return;
    const { origin } = info;
    const again = origin === this.#origin;
    // Those who are connected want all of a stream that was not there when they came.
    if (!again) this.#last = this.#looked ? 0 : info.last;
    const lost = again && (info.first > this.#last + 1 || info.last < this.#last);
    if (lost) this.#last = info.last < this.#last ? info.last : info.first - 1;
    this.#origin = origin;
    this.#looked = true;
    const { captures } = info;
    const sparse = again && info.sparse && info.last > this.#last;
    listener.stream({ name, origin, captures, sequence: this.#last, lost, sparse });

    const { promise: broken, resolve: give } = Promise.withResolvers<string>();
    const filter = filterOf(subjects, api);
    let delivered = 0;
    let heardMs = performance.now();
    const inbox = `_INBOX.${crypto.randomUUID().replaceAll("-", "")}`;
    const subscription = api.connection.subscribe(inbox, {
      callback: (error, msg) => {
        if (signal.aborted) return;
        if (error !== null) return give(natsReason(error));
        heardMs = performance.now();
        const delivery = readDelivery(msg.reply);
        if (delivery === undefined) return this.#hear(api.connection, msg, delivered, give);
        // What is behind a hole comes again, from the next consumer.
        if (delivery.delivered !== delivered + 1) {
          delivered = Number.NaN;
          return give("messages were lost on the way");
        }
        delivered = delivery.delivered;
        this.#last = delivery.sequence;
        const { subject } = msg;
        if (!filter.exact && !this.#patterns.carry(subject)) return;
        listener.message(new StreamMessage(subject, msg, origin, delivery));
      },
    });
    const watch = setInterval(() => {
      if (performance.now() - heardMs > SILENCE_MS) give("its consumer is silent");
    }, HEARTBEAT_MS);
    let consumer: string | undefined;
    try {
      consumer = await api.createConsumer(name, {
        ...filter.config,
        deliver_policy: "by_start_sequence",
        opt_start_seq: this.#last + 1,
        deliver_subject: inbox,
        flow_control: true,
        idle_heartbeat: nanoseconds(HEARTBEAT_MS),
        inactive_threshold: nanoseconds(INACTIVE_MS),
        max_deliver: 1,
      });
      heardMs = performance.now();
      this.#recover();
      works();
      const reason = await unlessAborted(broken, signal);
      if (reason !== undefined) {
        this.#log.info("Following stream {stream} anew: {reason}", { stream: name, reason });
      }
    } finally {
      clearInterval(watch);
      subscription.unsubscribe();
      if (consumer !== undefined) api.deleteConsumer(name, consumer);
    }
  }

  /** A heartbeat, or a request that is answered when all before it was taken: at once. */
  #hear(
    connection: NatsConnection,
    msg: Msg,
    delivered: number,
    give: (reason: string) => void,
  ): void {
    // A heartbeat says it again where the server still waits for that answer.
    const asked = msg.reply || msg.headers?.get("Nats-Consumer-Stalled");
    if (asked) connection.publish(asked);
    const last = msg.headers?.get("Nats-Last-Consumer");
    if (last && Number(last) !== delivered) give("messages were lost on the way");
    if (msg.headers !== undefined && msg.headers.code >= 400) give(msg.headers.description);
  }

  #stumble(thrown: unknown, listener: SourceListener): void {
    const { name } = this.input;
    const isMissing = thrown instanceof StreamApiError && thrown.isNotFound;
    const reason = isMissing
      ? "it does not exist yet"
      : thrown instanceof StreamApiError
        ? reasonOf(thrown)
        : natsReason(thrown);
    const trouble = `stream ${name} is not followed: ${reason}`;
    if (trouble !== this.#trouble)
      this.#log.warn("Cannot follow stream {stream}: {reason}", {
        event: "stream_lost",
        stream: name,
        reason,
      });
    this.#trouble = trouble;
    if (!isMissing) return;
    this.#looked = true;
    listener.stream({ name, origin: undefined, sequence: 0, lost: false });
  }

  #recover(): void {
    if (this.#trouble === undefined) return;
    this.#trouble = undefined;
    this.#log.info("Following stream {stream}", { event: "stream_found", stream: this.input.name });
  }
}
