import { reasonOf } from "../../core/ports/errors.ts";
import type { Log } from "../../core/ports/log.ts";
import type { SourceListener, StreamInput, StreamStatus } from "../../core/ports/source.ts";
import { subjectsIntersect } from "../../core/subject/subject.ts";
import { type Msg, natsReason } from "../connect.ts";
import { newInbox } from "../listen.ts";
import { PatternSet } from "../pattern-set.ts";
import { PermissionError, type Requests } from "../requests.ts";
import { Backoff, pause, unlessAborted } from "../retry.ts";
import { FailureDeadline } from "./failure-deadline.ts";
import { SilenceDetector } from "./silence-detector.ts";
import {
  filterOf,
  hasAll,
  nanoseconds,
  PausedError,
  type StreamApi,
  StreamApiError,
  type StreamInfo,
} from "./stream-api.ts";
import { type Delivery, readDelivery, StreamMessage } from "./stream-message.ts";

/** JetStream says so often that the consumer is there, when it has no messages. */
const HEARTBEAT_MS = 1_000;
/** So long without a word, and the consumer is made anew: it may be gone. */
const SILENCE_MS = 3 * HEARTBEAT_MS;
/** So long may NATS owe an answer before it is said that it does. */
const ANSWER_MS = 5_000;
/** A consumer that lost us goes after so long. */
const INACTIVE_MS = 30_000;
/** How often the stream is looked at, as an operator may edit it at any time. */
const LOOK_MS = 10_000;
/** The messages of a stream with more subjects are not counted, as that takes the server too long. */
const MOST_COUNTED = 100_000;
/** Where JetStream wants to be told that messages were taken. */
const FLOW_CONTROL = "$JS.FC.";

/**
 * The live end of one stream: a consumer that sends in order, made anew behind the last message that
 * came whenever anything is wrong with it (ADR-17).
 */
export class FollowedStream {
  readonly input: StreamInput;
  readonly #log: Log;
  readonly #patterns = new PatternSet();
  /** What it was when it was last looked at; `undefined` before, or when there was none. */
  #origin: string | undefined;
  /** The last message that has come of it. */
  #last = 0;
  /** How many messages the stream had behind it then; at first, those of other subjects too. */
  #lag = 0;
  #isFollowed = false;
  /** Whether it was ever looked for: what is made later is followed from its first message on. */
  #looked = false;
  /** Why it can't be followed, and which configured subjects fit nothing that it has. */
  #problem: string | undefined;
  #misfit: string | undefined;
  /** Whether NATS lets us answer its flow control, as far as is known. */
  #controlsFlow = true;
  /** Whether clients were told that it is not followed. */
  #isRefused = false;
  #stopping = new AbortController();

  constructor(input: StreamInput, log: Log) {
    this.input = input;
    this.#log = log;
    for (const subject of input.subjects) this.#patterns.add(subject);
  }

  /** What keeps its messages from coming, in words for people. */
  get problem(): string | undefined {
    return this.#problem ?? this.#misfit;
  }

  /** How far it has come. */
  get state(): StreamStatus {
    const { name } = this.input;
    return { name, isFollowed: this.#isFollowed, sequence: this.#last, lag: this.#lag };
  }

  /** Follows it on a connection, until `close`. */
  async open(api: StreamApi, listener: SourceListener): Promise<void> {
    this.close();
    this.#stopping = new AbortController();
    const { signal } = this.#stopping;
    const retries = new Backoff();
    const deadline = new FailureDeadline();
    while (!signal.aborted) {
      try {
        await this.#follow(api, listener, signal, deadline, () => {
          retries.reset();
          deadline.reset();
        });
      } catch (thrown) {
        if (signal.aborted) return;
        this.#stumble(thrown, listener, deadline);
      }
      await pause(retries.next(), signal);
    }
  }

  close(): void {
    this.#stopping.abort();
    this.#isFollowed = false;
  }

  async #follow(
    api: StreamApi,
    listener: SourceListener,
    signal: AbortSignal,
    deadline: FailureDeadline,
    works: () => void,
  ): Promise<void> {
    const { name, subjects } = this.input;
    const info = await unlessAborted(api.stream(name), signal);
    if (info === undefined || signal.aborted) return;
    const { origin } = info;
    const again = origin === this.#origin;
    // Those who are connected want all of a stream that was not there when they came.
    if (!again) this.#last = this.#looked ? info.first - 1 : info.last;
    const lost = again && (info.first > this.#last + 1 || info.last < this.#last);
    if (lost) this.#last = info.last < this.#last ? info.last : info.first - 1;
    this.#lag = Math.max(0, info.last - this.#last);
    this.#origin = origin;
    this.#looked = true;
    const sparse = again && info.sparse && info.last > this.#last;
    let captures = await this.#look(api, info);
    if (signal.aborted) return;
    listener.stream({
      name,
      origin,
      captures,
      sequence: this.#last,
      lost,
      sparse,
      isFollowed: false,
    });

    const { promise: broken, resolve: give, reject: fail } = Promise.withResolvers<string>();
    // It may fail before anybody waits for it.
    broken.catch(() => {});
    const filter = filterOf(subjects, api);
    let { exact } = filter;
    let { config } = filter;
    /** The stream as it is now. */
    let stream = info;
    let isWhole = false;
    const judge = (now: StreamInfo): void => {
      stream = now;
      isWhole = hasAll(now, config, subjects);
    };
    judge(info);
    /** Up to there it was told that some may be gone. */
    const told = sparse ? info.last : 0;
    /** The first of those that may be gone, or may be of subjects that are not wanted. */
    let unsure: number | undefined;
    /**
     * A message stands behind others that do not come: the stream let go of them, as it holds no more than it may, or
     * they are not wanted.
     */
    const jump = ({ sequence, pending }: Delivery): void => {
      if (sequence <= told) return;
      if (isWhole) listener.stream({ name, origin, captures, sequence: sequence - 1, lost: true });
      // Who keeps up has missed nothing.
      else if (!stream.replaces && (this.#lag > 0 || pending > 0)) unsure ??= this.#last + 1;
    };
    let delivered = 0;
    /** The last subject of which it is known that it is captured. */
    let fitting = "";
    let captured = info.captures;
    let lookedMs = performance.now();
    let lookedLast = this.#last;
    let fits = new PatternSet(captures);
    const tellCaptures = (now: readonly string[] | undefined): void => {
      captures = now;
      fits = new PatternSet(captures);
      // An edit that is not known yet is looked for at once.
      if (now === undefined) lookedMs = Number.NEGATIVE_INFINITY;
      listener.stream({ name, origin, captures, sequence: this.#last, lost: false });
    };
    const begin = (): void => {
      this.#isFollowed = true;
      this.#recover();
      works();
      listener.stream({ name, origin, captures, sequence: this.#last, lost: false });
    };
    /** Whether the consumer was given up. */
    let isOver = false;
    /** Whether it was said that NATS owes an answer. */
    let isLate = false;
    const silence = new SilenceDetector(api.connection, SILENCE_MS, (isSilent) => {
      if (signal.aborted) return;
      if (isSilent) give("its consumer is silent");
      else if (isLate) begin();
      isLate = false;
    });
    const inbox = newInbox();
    const { requests } = api;
    let consumer: string | undefined;
    const take = (msg: Msg): void => {
      if (signal.aborted) return;
      silence.heard();
      const delivery = readDelivery(msg.reply);
      if (delivery === undefined) {
        this.#hear(requests, msg, delivered, give);
        return;
      }
      // Messages behind a hole come again, from the next consumer.
      if (delivery.delivered !== delivered + 1) {
        delivered = Number.NaN;
        give("messages were lost on the way");
        return;
      }
      delivered = delivery.delivered;
      const { subject } = msg;
      if (captures !== undefined && subject !== fitting) {
        fitting = subject;
        if (!fits.carry(subject)) tellCaptures(undefined);
      }
      if (delivery.sequence > this.#last + 1) jump(delivery);
      this.#last = delivery.sequence;
      this.#lag = delivery.pending;
      if (!exact && !this.#patterns.carry(subject)) return;
      const { unreadable } = requests.faults;
      listener.message(new StreamMessage(subject, msg, origin, delivery, unreadable));
    };
    const subscription = requests.listen(inbox, take, fail);
    const unwatch = requests.watchDenials((subject) => {
      if (!subject.startsWith(`${FLOW_CONTROL}${name}.`)) return;
      this.#controlsFlow = false;
      const error = new PermissionError("publish", subject);
      requests.faults.denied(error);
      give(error.message);
    });
    const look = async (): Promise<void> => {
      const doubted = unsure;
      unsure = undefined;
      const now = await api.stream(name);
      if (isOver || signal.aborted) return;
      if (now.origin !== origin) {
        give("it was made anew");
        return;
      }
      if (now.first > (doubted ?? now.first)) {
        const sequence = this.#last;
        listener.stream({ name, origin, captures, sequence, lost: false, sparse: true });
      }
      if (now.last > this.#last && this.#last === lookedLast && consumer !== undefined) {
        await api.expectUnpaused(name, consumer);
      }
      lookedLast = this.#last;
      judge(now);
      if (String(now.captures) === String(captured)) return;
      captured = now.captures;
      const counted = await this.#look(api, now);
      if (isOver || signal.aborted) return;
      this.#log.info("The subjects of stream {stream} are others now", { stream: name });
      tellCaptures(counted);
    };
    const watch = setInterval(() => {
      if (signal.aborted) return;
      const nowMs = performance.now();
      if (silence.watch() > ANSWER_MS) {
        isLate = consumer !== undefined;
        this.#isFollowed = false;
        this.#stumble(new Error("there is no answer"), listener, deadline);
      }
      if (unsure === undefined && nowMs - lookedMs < LOOK_MS) return;
      lookedMs = nowMs;
      look().catch((thrown: unknown) => {
        // If the stream is gone, the consumer says so as well.
        if (thrown instanceof PausedError) give(thrown.message);
      });
    }, HEARTBEAT_MS);
    try {
      const making = api.createConsumer(name, {
        ...filter.config,
        deliver_policy: "by_start_sequence",
        opt_start_seq: this.#last + 1,
        deliver_subject: inbox,
        ...(this.#controlsFlow && { flow_control: true }),
        idle_heartbeat: nanoseconds(HEARTBEAT_MS),
        inactive_threshold: nanoseconds(INACTIVE_MS),
        max_deliver: 1,
      });
      // Whatever is wrong with the inbox is said before the answer.
      const made = await Promise.race([making, broken.then(() => making)]);
      consumer = made.name;
      // Another connection is followed by now, and has told how the stream stands.
      if (signal.aborted) return;
      exact &&= made.filters;
      if (!made.filters) config = {};
      judge(stream);
      silence.heard();
      begin();
      // The stream may have been made anew before its consumer was made.
      api.stream(name).then(
        (now) => {
          if (now.origin !== origin) give("it was made anew");
        },
        () => {},
      );
      const reason = await unlessAborted(broken, signal);
      if (reason !== undefined) {
        this.#log.info("Following stream {stream} anew: {reason}", { stream: name, reason });
      }
    } finally {
      isOver = true;
      isLate = false;
      if (!signal.aborted) this.#isFollowed = false;
      clearInterval(watch);
      unwatch();
      subscription.unsubscribe();
      if (consumer !== undefined) api.deleteConsumer(name, consumer);
    }
  }

  /**
   * Counts what it holds: its subjects may have been others, and then what it captures says nothing.
   *
   * @returns what all of its messages fit, where that is known.
   */
  async #look(api: StreamApi, info: StreamInfo): Promise<readonly string[] | undefined> {
    const { name, subjects } = this.input;
    const { captures, subjects: held } = info;
    if (captures === undefined) {
      this.#setMisfit([]);
      return undefined;
    }
    const count = async (pattern: string): Promise<number> =>
      held === 0 || held > MOST_COUNTED ? 0 : await api.countSubjects(name, pattern);
    try {
      const isCaptured = (one: string) => captures.some((other) => subjectsIntersect(one, other));
      const misfits: string[] = [];
      for (const subject of subjects) {
        if (!isCaptured(subject) && (await count(subject)) === 0) misfits.push(subject);
      }
      this.#setMisfit(misfits);
      if (held > MOST_COUNTED) return captures;
      let known = 0;
      for (const pattern of captures) known += await count(pattern);
      return known < held ? undefined : captures;
    } catch {
      return captures;
    }
  }

  #setMisfit(subjects: readonly string[]): void {
    const { name } = this.input;
    const misfit =
      subjects.length === 0
        ? undefined
        : `stream ${name} has nothing of ${subjects.join(", ")}: none of its subjects fits`;
    if (misfit !== undefined && misfit !== this.#misfit) {
      this.#log.warn("Stream {stream} has nothing of {subjects}: none of its subjects fits", {
        event: "stream_misfit",
        stream: name,
        subjects: subjects.join(", "),
      });
    }
    this.#misfit = misfit;
  }

  /** A heartbeat, or a request that is answered when all before it was taken: at once. */
  #hear(requests: Requests, msg: Msg, delivered: number, give: (reason: string) => void): void {
    const headers = requests.read(msg);
    // A heartbeat says it again where the server still waits for that answer.
    const asked = msg.reply || headers.last("Nats-Consumer-Stalled");
    if (asked?.startsWith(FLOW_CONTROL) && !/\s/.test(asked)) requests.connection.publish(asked);
    const last = headers.last("Nats-Last-Consumer");
    if (last && Number(last) !== delivered) give("messages were lost on the way");
    // JetStream says that nothing waits, unless it waits for us.
    else if (last && !asked) this.#lag = 0;
    if (headers.code >= 400) give(headers.description);
  }

  #stumble(thrown: unknown, listener: SourceListener, deadline: FailureDeadline): void {
    const { name } = this.input;
    const isMissing = thrown instanceof StreamApiError && thrown.isNotFound;
    const reason = isMissing
      ? "it does not exist yet"
      : thrown instanceof StreamApiError
        ? reasonOf(thrown)
        : natsReason(thrown);
    const problem = `stream ${name} is not followed: ${reason}`;
    if (problem !== this.#problem)
      this.#log.warn("Cannot follow stream {stream}: {reason}", {
        event: "stream_lost",
        stream: name,
        reason,
      });
    this.#problem = problem;
    if (isMissing) {
      this.#looked = true;
      this.#lag = 0;
      this.#isRefused = false;
      listener.stream({ name, origin: undefined, sequence: 0, lost: false });
    } else if (!this.#isRefused && deadline.isFinal(thrown)) {
      this.#isRefused = true;
      listener.streamRefused(name, reason);
    }
  }

  #recover(): void {
    this.#isRefused = false;
    if (this.#problem === undefined) return;
    this.#problem = undefined;
    this.#log.info("Following stream {stream}", { event: "stream_found", stream: this.input.name });
  }
}
