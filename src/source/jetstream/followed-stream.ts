import { reasonOf } from "../../core/ports/errors.ts";
import type { Log } from "../../core/ports/log.ts";
import type { SourceListener, StreamInput, StreamStatus } from "../../core/ports/source.ts";
import { natsReason } from "../connect.ts";
import { PatternSet } from "../pattern-set.ts";
import { Backoff, pause, unlessAborted } from "../retry.ts";
import { FailureDeadline } from "./failure-deadline.ts";
import { type StreamApi, StreamApiError, type StreamInfo } from "./stream-api.ts";
import { StreamFollower, type StreamPlace } from "./stream-follower.ts";
import { SubjectCheck } from "./subject-check.ts";

/**
 * The time for which a stream must have less than what came of it until that counts as true: a server that stood still answers as the
 * stream's leader until it hears of the next one.
 */
const STALE_MS = 5_000;

export interface FollowOptions {
  /** Whether it is followed from its first message on. Default: from the next one on. */
  readonly fromFirst?: boolean;
  /** A sentence that says what to do if there is no such stream. */
  readonly howToMake?: string;
  /** Is called whenever the stream was described. */
  readonly described?: (info: StreamInfo) => void;
}

/**
 * One configured stream, whose messages are delivered from the place where it was on the last connection.
 * A {@linkcode StreamFollower} does that for as long as its consumer is sound; then the next one begins.
 */
export class FollowedStream {
  readonly input: StreamInput;
  readonly #log: Log;
  readonly #howToMake: string | undefined;
  readonly #described: (info: StreamInfo) => void;
  readonly #patterns: PatternSet;
  readonly #check: SubjectCheck;
  readonly #place: StreamPlace = { last: 0, lag: 0 };
  /** The stream's origin when it was described last; `undefined` before, or when there was none. */
  #origin: string | undefined;
  #isFollowed = false;
  /** Whether it was ever looked for: a stream that is made later is followed from its first message. */
  #wasLookedFor: boolean;
  /** Since when it has less than what came of it. */
  #staleSinceMs: number | undefined;
  /** Why it can't be followed. */
  #problem: string | undefined;
  /** Whether NATS lets us answer flow control, as far as is known. */
  #controlsFlow = true;
  /** Whether the listener was told that it is not followed. */
  #isRefused = false;
  #stopping = new AbortController();

  constructor(input: StreamInput, log: Log, options: FollowOptions = {}) {
    const { fromFirst = false, howToMake, described = () => {} } = options;
    this.input = input;
    this.#wasLookedFor = fromFirst;
    this.#howToMake = howToMake;
    this.#described = described;
    this.#log = log;
    this.#patterns = new PatternSet(input.subjects);
    this.#check = new SubjectCheck(input, log);
  }

  /** Why its messages don't come, or some of them, in words for people. */
  get problem(): string | undefined {
    return this.#problem ?? this.#check.problem;
  }

  get status(): StreamStatus {
    const { last: sequence, lag } = this.#place;
    return { name: this.input.name, isFollowed: this.#isFollowed, sequence, lag };
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
        await this.#follow(api, listener, signal, deadline, retries);
      } catch (thrown) {
        if (signal.aborted) return;
        this.#fail(thrown, listener, deadline);
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
    retries: Backoff,
  ): Promise<void> {
    const { input } = this;
    const { name } = input;
    const info = await unlessAborted(api.stream(name), signal);
    if (info === undefined || signal.aborted) return;
    if (this.#isStale(info)) throw new Error("its leader doesn't have what came of it before");
    this.#described(info);
    const { lost, sparseUpTo } = this.#moveTo(info);
    const captures = await this.#check.run(api, info);
    if (signal.aborted) return;
    const { origin } = info;
    const sequence = this.#place.last;
    listener.stream({ name, origin, captures, sequence, lost, sparseUpTo, isFollowed: false });
    const parts = {
      api,
      input,
      listener,
      patterns: this.#patterns,
      check: this.#check,
      log: this.#log,
      place: this.#place,
      controlsFlow: this.#controlsFlow,
      following: () => {
        this.#isFollowed = true;
        this.#recover();
        retries.reset();
        deadline.reset();
      },
      late: () => {
        this.#isFollowed = false;
        this.#fail(new Error("there is no answer"), listener, deadline);
      },
      described: this.#described,
      flowControlDenied: () => {
        this.#controlsFlow = false;
      },
    };
    try {
      const follower = new StreamFollower(parts, info, captures, sparseUpTo ?? 0, signal);
      const reason = await follower.run();
      if (reason !== undefined) {
        this.#log.info("Following stream {stream} again: {reason}", { stream: name, reason });
      }
    } finally {
      if (!signal.aborted) this.#isFollowed = false;
    }
  }

  /** Whether the answer is perhaps of a server that no longer leads the stream. */
  #isStale({ origin, last, replicas }: StreamInfo): boolean {
    if (origin !== this.#origin || last >= this.#place.last || replicas === 1) {
      this.#staleSinceMs = undefined;
      return false;
    }
    const nowMs = performance.now();
    this.#staleSinceMs ??= nowMs;
    return nowMs - this.#staleSinceMs < STALE_MS;
  }

  /**
   * Moves on to where the next consumer begins.
   *
   * @returns whether messages before that are lost for certain, and up to which one some may be.
   */
  #moveTo(info: StreamInfo): { lost: boolean; sparseUpTo: number | undefined } {
    const place = this.#place;
    const { origin, first, last } = info;
    const isSame = origin === this.#origin;
    // Connected clients want all of a stream that was made after they came.
    if (!isSame) place.last = this.#wasLookedFor ? first - 1 : last;
    const lost = isSame && (first > place.last + 1 || last < place.last);
    if (lost) place.last = last < place.last ? last : first - 1;
    place.lag = Math.max(0, last - place.last);
    this.#origin = origin;
    this.#wasLookedFor = true;
    return { lost, sparseUpTo: isSame && info.sparse && last > place.last ? last : undefined };
  }

  #fail(thrown: unknown, listener: SourceListener, deadline: FailureDeadline): void {
    const { name } = this.input;
    const isMissing = thrown instanceof StreamApiError && thrown.isNotFound;
    const reason = isMissing
      ? ["it does not exist yet", this.#howToMake].filter(Boolean).join("; ")
      : thrown instanceof StreamApiError
        ? reasonOf(thrown)
        : natsReason(thrown);
    const problem = `stream ${name} is not followed: ${reason}`;
    if (problem !== this.#problem) {
      this.#log.warn("Cannot follow stream {stream}: {reason}", {
        event: "stream_lost",
        stream: name,
        reason,
      });
    }
    this.#problem = problem;
    if (isMissing) {
      this.#wasLookedFor = true;
      this.#place.lag = 0;
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
