import type { ClientFrame } from "../protocol/client-frames.ts";
import type { DeliveryMode, From, Policy } from "../protocol/fields.ts";
import type { EndFrame, GapFrame, SubscribedFrame } from "../protocol/server-frames.ts";
import type { SpillwayError } from "./errors.ts";
import type { Gap } from "./item.ts";
import { joined } from "./item-buffer.ts";
import { type Position, positionOf, Seen } from "./position.ts";
import { intersects } from "./subject.ts";
import type { DataFrame } from "./transport.ts";

/** The request of a subscription to the gateway. */
export interface FeedRequest {
  readonly subjects: readonly string[];
  readonly from?: From | undefined;
  readonly policy?: Policy | undefined;
  readonly maxRate?: number | undefined;
  readonly mode?: DeliveryMode | undefined;
  readonly durable?: string | undefined;
  /** A cursor that an earlier subscription left. */
  readonly after: string | undefined;
  /** The most messages that may be held while older ones are replayed. */
  readonly buffer: number;
}

/** While a subscription catches up, it holds back so many times its buffer of other messages. */
const HELD_PER_BUFFER = 8;

/** A report that is no message. */
export type Notice = GapFrame | Gap | EndFrame | { readonly type: "caught_up" };

/** Takes what is for one subscription. */
export interface FeedSink {
  subscribed(frame: SubscribedFrame): void;
  data(frame: DataFrame): void;
  note(notice: Notice): void;
  failed(error: SpillwayError): void;
}

/**
 * The progress of a subscription on this connection.
 *
 * - `asked`: the gateway hasn't confirmed it.
 * - `behind`: it catches up.
 * - `live`: its messages are new.
 */
export type FeedStage = "asked" | "behind" | "live";

/** A message that waits for older ones, and perhaps the end of its subject. */
interface Held {
  readonly frame: DataFrame;
  readonly position: Position;
  end?: EndFrame;
}

/** Sorts the messages of each origin; those of several have no order. */
function newestFirst({ position: one }: Held, { position: two }: Held): number {
  return two.number - one.number;
}

/** One subscription, as the connection knows it: its name on the wire, its place, and what it holds back. */
export class Feed {
  readonly request: FeedRequest;
  readonly sink: FeedSink;
  readonly seen = new Seen();
  /** Its name on the wire; `undefined` if this connection has not asked for it. */
  sub: string | undefined;
  stage: FeedStage = "asked";
  /** The message after which it resumes. */
  cursor: string | undefined;
  maxRate: number | undefined;
  /** The message after which it began, once the gateway has said so. */
  start: string | undefined;
  /** The place where it begins; if it leaves that to the gateway, `undefined` until the gateway has said so. */
  from: From | undefined;
  /** Whether its replay ends with `caught_up`. */
  #hasReplay = false;
  /** Whether this connection was asked to resume after its cursor. */
  isResuming = false;
  /** Ends the wait for another attempt. */
  cancelRetry: () => void = () => {};
  failures = 0;
  /** The subjects whose latest message it has, while it is sent only those. */
  readonly #latest = new Set<string>();
  /** Messages that came ahead of its replay, by id; in the order in which they came. */
  #held = new Map<string, Held>();
  /** The messages for which there was no room. */
  #lost: Gap | undefined;

  constructor(request: FeedRequest, sink: FeedSink) {
    this.request = request;
    this.sink = sink;
    const { from, after = (from as { readonly after?: string } | undefined)?.after } = request;
    this.cursor = after;
    this.from = from;
    if (after !== undefined) this.seen.begin(positionOf(after));
  }

  /** It is asked for on another connection. @returns the ids of what it held back. */
  restart(): readonly string[] {
    this.#lost = undefined;
    this.sub = undefined;
    this.stage = "asked";
    return this.#drop(() => true);
  }

  /** Whether a subject, or pattern, is of interest. */
  wants(subject: string): boolean {
    return this.request.subjects.some((pattern) => intersects(pattern, subject));
  }

  /** Asks for it under a new name: after its cursor, or where it was to begin. */
  ask(sub: string): ClientFrame {
    const { subjects, policy, maxRate, mode, durable } = this.request;
    this.isResuming = this.cursor !== undefined && durable === undefined;
    const from = this.isResuming ? { after: this.cursor } : this.request.from;
    this.sub = sub;
    this.#latest.clear();
    // On the same connection, what the gateway sent before may still arrive.
    if (this.stage === "live") this.stage = "behind";
    this.#hasReplay = durable === undefined && from !== undefined && from !== "new";
    this.seen.freeze();
    // JSON has no undefined fields.
    return {
      ...{ type: "subscribe", id: sub, subjects, from, policy, max_rate: maxRate, mode, durable },
    } as ClientFrame;
  }

  /**
   * The gateway has confirmed it.
   *
   * @returns the ids of messages that it had held back, and that are not for it.
   */
  confirm(frame: SubscribedFrame): readonly string[] {
    let earlier: readonly string[] = [];
    this.maxRate = frame.max_rate;
    if (frame.start_from !== undefined) this.#hasReplay = true;
    if (this.start === undefined) {
      if (this.request.durable === undefined) this.from ??= frame.start_from ?? "new";
      const { from } = this;
      this.start = frame.from;
      // The latest messages lie before that place, and a durable has its own.
      if (from !== undefined && from !== "last" && from !== "last_per_subject") {
        const isNew = (this.cursor ?? from) === "new";
        // Earlier messages were for other subscriptions. Between a cursor and that place lies what expired, which a gap tells.
        if (this.cursor === undefined) this.seen.begin(positionOf(frame.from));
        earlier = this.#drop(({ position }) => isNew || this.seen.has(position));
        this.cursor ??= frame.from;
      }
    } else if (this.from === "last_per_subject" && !this.isResuming) {
      // The latest of each subject is taken again, of another stream: nobody sends what this one had.
      const [from, to] = [this.start, frame.from];
      this.start = to;
      if (positionOf(from).origin !== positionOf(to).origin)
        this.sink.note({ type: "gap", reason: "stream_reset", from, to, count: 0, exact: false });
    }
    this.sink.subscribed(frame);
    if (this.stage === "live") return earlier;
    this.stage = "behind";
    if (!this.#hasReplay) this.#goLive();
    return earlier;
  }

  /** Whether it has a message. @param isLoose as in {@linkcode Seen.has}. */
  has(id: string, position: Position, isLoose: boolean): boolean {
    if (this.request.durable !== undefined) return false;
    return this.seen.has(position, isLoose) || this.#held.has(id);
  }

  /** Takes a message that no other subscription can have brought, after those held back that are older. */
  take(frame: DataFrame, position: Position): void {
    const { origin, number } = position;
    if (this.#takesLatest) {
      // Only the end of the replay tells which of those are the latest.
      if (this.holdsLatest) {
        this.hold(frame, position, false);
        return;
      }
      this.#isLatest(frame);
    }
    this.#release((held) => held.origin === origin && held.number < number);
    this.#give(frame);
  }

  /** Whether it holds back more than it should. */
  get isFull(): boolean {
    return this.#held.size > HELD_PER_BUFFER * this.request.buffer;
  }

  /** Whether the end of its replay tells which messages are the latest. */
  get holdsLatest(): boolean {
    return this.#takesLatest && this.#held.size > 0;
  }

  /** Takes a message that came ahead of the replay. If there are too many, the oldest are a gap. */
  hold(frame: DataFrame, position: Position, isBounded: boolean): void {
    this.#held.set(frame.id, { frame, position });
    if (!isBounded || !this.isFull) return;
    const [id] = this.#held.keys() as Iterable<string> as [string];
    this.#held.delete(id);
    const gap = { type: "gap", reason: "buffer", from: id, to: id, count: 1, exact: true } as const;
    // A replay brings older ones than those that came ahead of it.
    this.#lost = this.#lost ? joined(this.#lost, gap) : gap;
  }

  /**
   * The replay is complete.
   *
   * @returns the ids of messages that it had held back, and that are not for it.
   */
  caughtUp(): readonly string[] {
    // Others brought messages from before its start, too.
    const start = positionOf(this.start!);
    const older = this.#drop(
      ({ frame, position: { origin, number } }) =>
        this.#takesLatest &&
        origin === start.origin &&
        number <= start.number &&
        !this.#isLatest(frame),
    );
    this.failures = 0;
    this.#goLive();
    this.sink.note({ type: "caught_up" });
    return older;
  }

  /** Takes a gap. */
  gap(frame: GapFrame & { readonly isAhead?: boolean }): void {
    const { origin, number } = positionOf(this.cursor ?? "");
    const [from, to] = [positionOf(frame.from), positionOf(frame.to)];
    const isFurther = frame.count > 0 && to.origin === origin && to.number > number;
    const isReset = frame.reason === "stream_reset" && from.origin === origin;
    // A held message isn't given yet, and would not come again.
    const isNext = from.number <= number + 1;
    const isInPlace = this.stage === "live" || (isNext && frame.reason !== "slow");
    if ((isFurther || isReset) && isInPlace && this.#held.size === 0 && !frame.isAhead)
      this.cursor = frame.to;
    this.sink.note(frame);
  }

  /** Takes the end of a subject, behind its message. */
  end(frame: EndFrame): void {
    const held = this.#held.get(frame.id);
    if (held === undefined) this.sink.note(frame);
    else held.end = frame;
  }

  /** Whether it is being sent only the latest message of all, or of each subject. */
  get #takesLatest(): boolean {
    const { from, stage } = this;
    return (
      stage === "behind" && !this.isResuming && (from === "last" || from === "last_per_subject")
    );
  }

  /** Drops messages that it holds back, the newest first. @returns their ids. */
  #drop(isUnwanted: (held: Held) => boolean): readonly string[] {
    const held = [...this.#held.values()].sort(newestFirst);
    const dropped = held.filter(isUnwanted).map(({ frame }) => frame.id);
    for (const id of dropped) this.#held.delete(id);
    return dropped;
  }

  /** Whether a message of the snapshot is the first of its kind. */
  #isLatest({ subject }: DataFrame): boolean {
    const { size } = this.#latest;
    return this.#latest.add(this.from === "last" ? "" : subject).size > size;
  }

  #goLive(): void {
    if (this.#lost !== undefined) this.sink.note(this.#lost);
    this.#lost = undefined;
    this.#release(() => true);
    this.stage = "live";
    this.cursor ??= this.start;
    this.seen.freeze();
  }

  #release(isDue: (position: Position) => boolean): void {
    const due = [...this.#held.values()].filter(({ position }) => isDue(position));
    for (const { frame, end } of due.sort(newestFirst).reverse()) {
      this.#held.delete(frame.id);
      this.#give(frame);
      if (end !== undefined) this.sink.note(end);
    }
  }

  #give(frame: DataFrame): void {
    const position = positionOf(frame.id);
    if (!this.seen.has(position)) this.cursor = frame.id;
    this.seen.add(position);
    this.sink.data(frame);
  }
}
