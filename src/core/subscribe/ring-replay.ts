import type { Ring, RingReader } from "../history/ring.ts";
import type { Session } from "../sessions/session.ts";
import type { Effort, Progress, Subscription } from "../sessions/subscription.ts";
import type { Job, TurnShare } from "../timing/turn-share.ts";
import { cursorOf, type Envelope } from "../wire/envelope.ts";

/** The number of checks of a message's place that count as one step, as each of them is cheap. */
const LOOKS_PER_STEP = 8;

/** A subscription that catches up, and the streams that it reads in the ring. */
export interface RingReplayTarget {
  readonly session: Session;
  readonly subscription: Subscription;
  /** Aborted when the subscription ends, or its client does. */
  readonly signal: AbortSignal;
  /** Whether the ring lacks messages after the subscription's place that a stream may still have. */
  isRingShort(): boolean;
  /** The streams that have messages in the ring after the subscription's place. */
  readonly sought: Iterable<string>;
  /** Whether the subscription wants messages that no stream keeps, or of streams that it has no place in. */
  readonly wantsRest: boolean;
  /** The origin of the gateway's own cursors. */
  readonly origin: string;
}

/** How a replay ends. */
export interface RingReplayEnds {
  /** Called in the turn in which everything that has come until then is handed over. */
  done(): void;
  /** The signal was aborted, or the ring has lost messages that a stream may still have. */
  gaveUp(): void;
}

/**
 * Hands a subscription the messages of the ring that it hasn't got, in parts, until nothing is left and the
 * subscription can join the others. Messages that come meanwhile go into the ring.
 */
export class RingReplay implements Job {
  isDone = false;
  readonly #ring: Ring;
  readonly #reader: RingReader;
  readonly #target: RingReplayTarget;
  readonly #progress: Progress;
  readonly #ends: RingReplayEnds;
  readonly #effort: Effort = { steps: 0 };
  /** The streams whose place in the ring isn't found yet; the search goes backwards from the newest message. */
  readonly #sought: Set<string>;
  #lookingAt: number;
  /** `ring.end` when the last part was over. */
  #endBefore: number;
  readonly #abort = (): void => this.#end(this.#ends.gaveUp);

  constructor(ring: Ring, target: RingReplayTarget, ends: RingReplayEnds) {
    this.#ring = ring;
    this.#target = target;
    this.#progress = target.subscription.progress as Progress;
    this.#ends = ends;
    this.#sought = new Set(target.sought);
    // The first message of a sought stream may be anywhere.
    this.#reader = ring.read(this.#sought.size > 0 ? 0 : this.#restFrom);
    this.#lookingAt = ring.end - 1;
    this.#endBefore = ring.end;
  }

  /** Begins: at once if there is nothing to hand over, or else when it is the client's turn. */
  begin(turnShare: TurnShare): void {
    const { signal, session } = this.#target;
    signal.addEventListener("abort", this.#abort);
    const isEmpty = this.#sought.size === 0 && this.#reader.next >= this.#ring.end;
    if (signal.aborted) this.#abort();
    else if (isEmpty) this.work(1);
    else turnShare.run(session, this);
  }

  work(steps: number): number {
    if (this.isDone) return 1;
    const effort = this.#effort;
    effort.steps = 0;
    // At least twice as many as came: what is left gets smaller, however many come.
    const came = this.#ring.end - this.#endBefore;
    this.#look(steps);
    if (this.#sought.size === 0) this.#handOver(steps, 2 * came);
    this.#endBefore = this.#ring.end;
    return effort.steps;
  }

  /** The serial of the first message that is of no stream with a place. */
  get #restFrom(): number {
    return this.#target.wantsRest ? this.#progress.serial + 1 : this.#ring.end;
  }

  /** Finds where each sought stream continues: after the last message that the subscription has. */
  #look(steps: number): void {
    const ring = this.#ring;
    const sought = this.#sought;
    if (sought.size === 0) return;
    const oldest = ring.oldest ?? ring.end;
    const least = Math.max(oldest, this.#lookingAt + 1 - steps * LOOKS_PER_STEP);
    let at = this.#lookingAt;
    for (; at >= least && sought.size > 0; at--) {
      const stream = ring.streamAt(at);
      if (stream === undefined || !sought.has(stream)) continue;
      if (ring.sequenceAt(at) <= this.#progress.of.get(stream)!) sought.delete(stream);
    }
    this.#effort.steps += Math.ceil((this.#lookingAt - at) / LOOKS_PER_STEP);
    this.#lookingAt = at;
    if (at < oldest) sought.clear();
    if (sought.size === 0) {
      this.#reader.moveTo(Math.min(Math.max(oldest, at + 1), this.#restFrom));
    }
  }

  #handOver(steps: number, atLeast: number): void {
    const reader = this.#reader;
    if (this.#target.isRingShort()) {
      this.#end(this.#ends.gaveUp);
      return;
    }
    if (reader.lost > 0) this.#tellLoss();
    const { session, subscription } = this.#target;
    const missed: Envelope[] = [];
    let at = reader.next;
    for (let looked = 0; at < this.#ring.end; at++, looked++) {
      if (this.#effort.steps >= steps && looked >= atLeast) break;
      this.#effort.steps++;
      if (!this.#isNew(at)) continue;
      const envelope = this.#ring.at(at);
      const { subject } = envelope;
      const isWanted = subscription.wants(subject, this.#effort) && !session.denies(subject);
      if (isWanted && !session.subscriptions.anyOtherHas(envelope, subscription, this.#effort)) {
        missed.push(envelope);
      }
    }
    const isLast = at >= this.#ring.end;
    reader.moveTo(at);
    this.#progress.serial = Math.max(this.#progress.serial, at - 1);
    let left = 0;
    if (missed.length > 0 || isLast) {
      const most = Math.max(1, steps - this.#effort.steps);
      left = session.replayPaced(missed, subscription, isLast, most);
      // If the subscription's rate holds some back, they go out in later turns before it joins.
      if (left > 0 && isLast) this.#effort.steps = Math.max(this.#effort.steps, steps);
    }
    if (isLast && left === 0) this.#end(this.#ends.done);
  }

  /** Advances to a message. @returns whether the subscription hasn't got it yet. */
  #isNew(serial: number): boolean {
    const stream = this.#ring.streamAt(serial);
    const { of } = this.#progress;
    if (stream === undefined) return serial > this.#progress.serial;
    const reached = of.get(stream);
    const sequence = this.#ring.sequenceAt(serial);
    if (reached === undefined ? serial <= this.#progress.serial : sequence <= reached) return false;
    // The first message that comes of a stream shows where the subscription starts in it.
    if (reached === undefined) this.#target.subscription.startAfter(stream, sequence - 1);
    of.set(stream, sequence);
    return true;
  }

  /** Tells the client which messages the ring has lost before they were read. */
  #tellLoss(): void {
    const { origin, wantsRest, session, subscription } = this.#target;
    const { lost, next } = this.#reader;
    const from = Math.max(next, this.#progress.serial + 1);
    const to = next + lost - 1;
    this.#reader.moveTo(to + 1);
    if (from > to || !wantsRest) return;
    this.#progress.serial = to;
    session.note({
      ...{ type: "gap", reason: "expired", count: to - from + 1 },
      from: cursorOf({ origin, sequence: from }),
      to: cursorOf({ origin, sequence: to }),
      ...(subscription.subjects !== "everything" && { exact: false }),
      sub: subscription.id,
    });
  }

  #end(how: () => void): void {
    if (this.isDone) return;
    this.isDone = true;
    this.#target.signal.removeEventListener("abort", this.#abort);
    this.#reader.close();
    how();
  }
}
