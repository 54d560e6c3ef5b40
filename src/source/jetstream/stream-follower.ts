import type { Log } from "../../core/ports/log.ts";
import type { SourceListener, StreamInput, StreamState } from "../../core/ports/source.ts";
import type { Msg } from "../connect.ts";
import { PatternSet } from "../pattern-set.ts";
import { PermissionError } from "../requests.ts";
import { unlessAborted } from "../retry.ts";
import { newInbox } from "../safe-subscribe.ts";
import { SilenceDetector } from "./silence-detector.ts";
import {
  filterOf,
  hasAll,
  nanoseconds,
  PausedError,
  type StreamApi,
  type StreamInfo,
} from "./stream-api.ts";
import { type Delivery, readDelivery, StreamMessage } from "./stream-message.ts";
import type { SubjectCheck } from "./subject-check.ts";

/** How often JetStream sends a heartbeat while the consumer has no messages. */
const HEARTBEAT_MS = 1_000;
/** After this long without a message or heartbeat, the consumer may be gone and is made anew. */
const SILENCE_MS = 3 * HEARTBEAT_MS;
/** How long NATS may owe the answer to a ping before the stream counts as not followed. */
const ANSWER_MS = 5_000;
/** JetStream deletes a consumer that lost its subscriber after this long. */
const INACTIVE_MS = 30_000;
/** How often the stream is described again, as an operator may edit it at any time. */
const CHECK_MS = 10_000;
/** JetStream asks with subjects that begin so whether messages were taken. */
const FLOW_CONTROL = "$JS.FC.";

/** How far a stream has come. */
export interface StreamPlace {
  /** The sequence of the last message that came of it. */
  last: number;
  /** How many more messages the consumer had then; at first, those of other subjects too. */
  lag: number;
}

export interface StreamFollowerParts {
  readonly api: StreamApi;
  readonly input: StreamInput;
  /** The subjects of the input. */
  readonly patterns: PatternSet;
  readonly check: SubjectCheck;
  readonly listener: SourceListener;
  readonly log: Log;
  /** Moved on with each message. */
  readonly place: StreamPlace;
  /** Whether NATS lets us answer JetStream's flow control, as far as is known. */
  readonly controlsFlow: boolean;
  /** The consumer delivers, for the first time or after `late`. */
  following(): void;
  /** NATS owes an answer for too long. */
  late(): void;
  /** The stream was described. */
  described(info: StreamInfo): void;
  /** NATS does not let us answer flow control: the next consumer has to do without. */
  flowControlDenied(): void;
}

/**
 * Follows a stream through one push consumer, which sends its messages in order. Any irregularity ends it, and
 * its owner makes the next one behind the last message that came (ADR-17).
 *
 * The ordered consumer of nats.js 2.29 is not used. It doesn't notice that a stream was deleted and made anew
 * under its name. It keeps the reason of a reset to itself and repeats the creation by itself, up to 30 s
 * apart, whereas clients are to hear of a missing or refused stream. It is a pull consumer, which needs a request
 * for each batch, and a status with malformed headers throws in the client's callback.
 */
export class StreamFollower {
  readonly #parts: StreamFollowerParts;
  readonly #signal: AbortSignal;
  readonly #inbox = newInbox();
  readonly #silence: SilenceDetector;
  readonly #broken = Promise.withResolvers<string>();
  readonly #origin: string;
  #state: "starting" | "following" | "late" | "ended" = "starting";
  #consumer: string | undefined;
  /** How many messages the consumer has sent. */
  #delivered = 0;
  /** The consumer's filter, and whether it sends only what is wanted. */
  #filter: Record<string, unknown>;
  #isExact: boolean;
  /** The stream when it was described last. */
  #info: StreamInfo;
  /** Whether each sequence that doesn't come is a message that the stream has removed. */
  #isWhole: boolean;
  /** The patterns that all messages of the stream fit; `undefined` while they are not known. */
  #captures: readonly string[] | undefined;
  #captured: PatternSet;
  /** The last subject that was found to fit them. */
  #fitting = "";
  /** Up to this sequence, listeners know that messages may be missing. */
  readonly #declaredUpTo: number;
  /** The first sequence that may be missing, or may be of a subject that is not wanted. */
  #doubtfulFrom: number | undefined;
  #checkedMs = performance.now();
  #lastAtCheck: number;

  /**
   * @param captures see `#captures`.
   * @param declaredUpTo see `#declaredUpTo`.
   * @param signal ends it: nothing is delivered afterwards.
   */
  constructor(
    parts: StreamFollowerParts,
    info: StreamInfo,
    captures: readonly string[] | undefined,
    declaredUpTo: number,
    signal: AbortSignal,
  ) {
    const { api, input, place } = parts;
    this.#parts = parts;
    this.#signal = signal;
    this.#origin = info.origin;
    this.#captures = captures;
    this.#captured = new PatternSet(captures);
    this.#declaredUpTo = declaredUpTo;
    this.#lastAtCheck = place.last;
    const { config, exact } = filterOf(input.subjects, api);
    this.#filter = config;
    this.#isExact = exact;
    this.#info = info;
    this.#isWhole = hasAll(info, config, input.subjects);
    this.#silence = new SilenceDetector(api.connection, SILENCE_MS, (isSilent) =>
      this.#answered(isSilent),
    );
    // It may fail before anybody waits for it.
    this.#broken.promise.catch(() => {});
  }

  /**
   * Makes the consumer and delivers its messages.
   *
   * @returns why the consumer has to be made anew; `undefined` when the signal was given.
   * @throws the error for which it can't be made, or can't be listened to.
   */
  async run(): Promise<string | undefined> {
    const { api, input } = this.#parts;
    const { requests } = api;
    const subscription = requests.listen(
      this.#inbox,
      (msg) => this.#take(msg),
      (error) => this.#broken.reject(error),
    );
    const unwatch = requests.watchDenials((subject) => this.#denied(subject));
    const watch = setInterval(() => this.#watch(), HEARTBEAT_MS);
    try {
      await this.#create();
      // Another connection may be followed by now.
      if (this.#signal.aborted) return undefined;
      this.#silence.heard();
      this.#follow();
      this.#confirmOrigin();
      return await unlessAborted(this.#broken.promise, this.#signal);
    } finally {
      this.#state = "ended";
      clearInterval(watch);
      unwatch();
      subscription.unsubscribe();
      if (this.#consumer !== undefined) api.deleteConsumer(input.name, this.#consumer);
    }
  }

  get #isOver(): boolean {
    return this.#state === "ended" || this.#signal.aborted;
  }

  async #create(): Promise<void> {
    const { api, input, place, controlsFlow } = this.#parts;
    const creating = api.createConsumer(input.name, {
      ...this.#filter,
      deliver_policy: "by_start_sequence",
      opt_start_seq: place.last + 1,
      deliver_subject: this.#inbox,
      ...(controlsFlow && { flow_control: true }),
      idle_heartbeat: nanoseconds(HEARTBEAT_MS),
      inactive_threshold: nanoseconds(INACTIVE_MS),
      max_deliver: 1,
    });
    // A refusal of the inbox comes before the answer.
    const { name, filters } = await Promise.race([
      creating,
      this.#broken.promise.then(() => creating),
    ]);
    this.#consumer = name;
    if (filters) return;
    this.#isExact = false;
    this.#filter = {};
    this.#describe(this.#info);
  }

  #follow(): void {
    this.#state = "following";
    this.#parts.following();
    this.#tell();
  }

  #end(reason: string): void {
    this.#broken.resolve(reason);
  }

  /** Tells the listener how the stream stands. */
  #tell(news: Partial<StreamState> = {}): void {
    const { listener, input, place } = this.#parts;
    listener.stream({
      name: input.name,
      origin: this.#origin,
      captures: this.#captures,
      sequence: place.last,
      lost: false,
      ...news,
    });
  }

  #take(msg: Msg): void {
    if (this.#signal.aborted) return;
    this.#silence.heard();
    const delivery = readDelivery(msg.reply);
    if (delivery === undefined) {
      this.#takeStatus(msg);
      return;
    }
    if (delivery.delivered !== this.#delivered + 1) {
      // The messages behind the hole come again, from the next consumer.
      this.#delivered = Number.NaN;
      this.#end("messages were lost on the way");
      return;
    }
    this.#delivered = delivery.delivered;
    const { place, patterns, listener, api } = this.#parts;
    // With nats-server 2.9, a consumer on a replica that lags begins where that replica ends.
    if (delivery.sequence <= place.last) return;
    const { subject } = msg;
    if (this.#captures !== undefined && subject !== this.#fitting) {
      this.#fitting = subject;
      if (!this.#captured.matches(subject)) this.#setCaptures(undefined);
    }
    if (delivery.sequence > place.last + 1) this.#skip(delivery);
    place.last = delivery.sequence;
    place.lag = delivery.pending;
    if (!this.#isExact && !patterns.matches(subject)) return;
    const { unreadable } = api.requests.faults;
    listener.message(new StreamMessage(subject, msg, this.#origin, delivery, unreadable));
  }

  /** Takes a heartbeat, or a request of flow control, which is answered at once. */
  #takeStatus(msg: Msg): void {
    const { requests } = this.#parts.api;
    const headers = requests.read(msg);
    // If the server still waits for that answer, the next heartbeat asks again.
    const asked = msg.reply || headers.last("Nats-Consumer-Stalled");
    if (asked?.startsWith(FLOW_CONTROL) && !/\s/.test(asked)) requests.connection.publish(asked);
    const last = headers.last("Nats-Last-Consumer");
    if (last && Number(last) !== this.#delivered) this.#end("messages were lost on the way");
    // A heartbeat means that no message waits, unless the consumer waits for us.
    else if (last && !asked) this.#parts.place.lag = 0;
    if (headers.code >= 400) this.#end(headers.description);
  }

  /** Sequences were skipped: the stream has removed these messages, or they are not wanted. */
  #skip({ sequence, pending }: Delivery): void {
    if (sequence <= this.#declaredUpTo) return;
    const { place } = this.#parts;
    if (this.#isWhole) this.#tell({ sequence: sequence - 1, lost: true });
    // A consumer that keeps up has missed nothing.
    else if (!this.#info.replaces && (place.lag > 0 || pending > 0)) {
      this.#doubtfulFrom ??= place.last + 1;
    }
  }

  #setCaptures(captures: readonly string[] | undefined): void {
    this.#captures = captures;
    this.#captured = new PatternSet(captures);
    // A message that does not fit shows an edit: describe the stream at once.
    if (captures === undefined) this.#checkedMs = Number.NEGATIVE_INFINITY;
    this.#tell();
  }

  #describe(info: StreamInfo): void {
    this.#info = info;
    this.#isWhole = hasAll(info, this.#filter, this.#parts.input.subjects);
  }

  /** NATS answered a ping after silence. */
  #answered(isSilent: boolean): void {
    if (this.#isOver) return;
    if (isSilent) this.#end("its consumer is silent");
    else if (this.#state === "late") this.#follow();
  }

  #denied(subject: string): void {
    const { input, api, flowControlDenied } = this.#parts;
    if (!subject.startsWith(`${FLOW_CONTROL}${input.name}.`)) return;
    flowControlDenied();
    const error = new PermissionError("publish", subject);
    api.requests.faults.denied(error);
    this.#end(error.message);
  }

  #watch(): void {
    if (this.#signal.aborted) return;
    if (this.#silence.watch() > ANSWER_MS) {
      if (this.#state === "following") this.#state = "late";
      this.#parts.late();
    }
    const nowMs = performance.now();
    if (this.#doubtfulFrom === undefined && nowMs - this.#checkedMs < CHECK_MS) return;
    this.#checkedMs = nowMs;
    this.#check().catch((thrown: unknown) => {
      // If the stream is gone, the consumer reports that as well.
      if (thrown instanceof PausedError) this.#end(thrown.message);
    });
  }

  /** Describes the stream again: it may have been edited, or deleted and made anew. */
  async #check(): Promise<void> {
    const { api, input, check, place, log, described } = this.#parts;
    const { name } = input;
    const doubtfulFrom = this.#doubtfulFrom;
    this.#doubtfulFrom = undefined;
    const info = await api.stream(name);
    if (this.#isOver || !this.#isSame(info)) return;
    described(info);
    if (doubtfulFrom !== undefined && info.first > doubtfulFrom) {
      this.#tell({ sparseUpTo: place.last });
    }
    if (info.last > place.last && place.last === this.#lastAtCheck && this.#consumer) {
      await api.expectUnpaused(name, this.#consumer);
    }
    this.#lastAtCheck = place.last;
    const isEdited = String(info.captures) !== String(this.#info.captures);
    this.#describe(info);
    if (!isEdited) return;
    const captures = await check.run(api, info);
    if (this.#isOver) return;
    log.info("The subjects of stream {stream} have changed", { stream: name });
    this.#setCaptures(captures);
  }

  /** The stream may have been made anew between its description and the consumer. */
  #confirmOrigin(): void {
    const { api, input } = this.#parts;
    api.stream(input.name).then(
      (info) => this.#isSame(info),
      () => {},
    );
  }

  #isSame({ origin }: StreamInfo): boolean {
    if (origin === this.#origin) return true;
    this.#end("it was made anew");
    return false;
  }
}
