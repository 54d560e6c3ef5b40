import type { Ring, RingReader } from "../history/ring.ts";
import type { Session } from "../sessions/session.ts";
import type { Effort, Progress, Subscription } from "../sessions/subscription.ts";
import type { Job, TurnShare } from "../timing/turn-share.ts";
import { cursorOf, type Envelope } from "../wire/envelope.ts";

/** One look at where a message stands is cheap: so many of them are one step. */
const LOOKS_PER_STEP = 8;

/** The subscription that a walk is for, and what it seeks. */
export interface Walk {
  readonly client: Session;
  /** It catches up. */
  readonly subscription: Subscription;
  /** The streams of which something comes in the ring behind where it has come. */
  readonly sought: Iterable<string>;
  /** Whether it wants messages that are of none of the streams whose place it knows. */
  readonly wantsRest: boolean;
  /** The gateway's run. */
  readonly origin: string;
}

/** How a walk ends. */
export interface WalkEnds {
  /** Whether the client is there, and still wants it. */
  goesOn(): boolean;
  /** Called in the turn in which all was handed over that has come until then. */
  joins(): void;
  /** Nobody wants it any more, or the ring does not have it any more. */
  leaves(): void;
}

/**
 * Hands a subscription what the ring has of what it has not got, part by part, until nothing is left and
 * the client can go over to what comes. What comes meanwhile goes into the ring, and so has its place.
 */
export class RingReplay implements Job {
  isDone = false;
  readonly #ring: Ring;
  readonly #reader: RingReader;
  readonly #client: Session;
  readonly #subscription: Subscription;
  readonly #progress: Progress;
  readonly #walk: Walk;
  readonly #ends: WalkEnds;
  readonly #effort: Effort = { steps: 0 };
  /** The streams whose place in the ring is still looked for; from the newest message on, backwards. */
  readonly #sought: Set<string>;
  #lookingAt: number;
  /** `ring.end` when the last part was over. */
  #endBefore: number;

  constructor(ring: Ring, walk: Walk, ends: WalkEnds) {
    this.#ring = ring;
    this.#walk = walk;
    this.#client = walk.client;
    this.#subscription = walk.subscription;
    this.#progress = walk.subscription.progress as Progress;
    this.#ends = ends;
    this.#sought = new Set(walk.sought);
    // The first message of a sought stream may stand anywhere.
    this.#reader = ring.read(this.#sought.size > 0 ? 0 : this.#restFrom);
    this.#lookingAt = ring.end - 1;
    this.#endBefore = ring.end;
  }

  /** Begins: at once where nothing is to be handed over, or else in a share of this turn or a later one. */
  begin(turnShare: TurnShare): void {
    const isEmpty = this.#sought.size === 0 && this.#reader.next >= this.#ring.end;
    if (isEmpty) this.work(1);
    else turnShare.run(this.#client, this);
  }

  /** The first serial of messages that are of no known stream. */
  get #restFrom(): number {
    return this.#walk.wantsRest ? this.#progress.serial + 1 : this.#ring.end;
  }

  work(steps: number): number {
    if (!this.#ends.goesOn()) return this.#end(() => this.#ends.leaves());
    const effort = this.#effort;
    effort.steps = 0;
    // Whatever comes, the rest gets smaller.
    const came = this.#ring.end - this.#endBefore;
    this.#look(steps);
    if (this.#sought.size === 0) this.#hand(steps, 2 * came);
    this.#endBefore = this.#ring.end;
    return effort.steps;
  }

  /** Finds out where to begin for streams: behind the last one that the subscription has. */
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

  #hand(steps: number, atLeast: number): void {
    const { joins, leaves } = this.#ends;
    const reader = this.#reader;
    if (reader.lost > 0 && !this.#toldOfLost()) {
      this.#end(leaves);
      return;
    }
    const missed: Envelope[] = [];
    const { subscriptions } = this.#client;
    let at = reader.next;
    for (let looked = 0; at < this.#ring.end; at++, looked++) {
      if (this.#effort.steps >= steps && looked >= atLeast) break;
      this.#effort.steps++;
      if (!this.#passes(at)) continue;
      const envelope = this.#ring.at(at);
      const isWanted = this.#subscription.wants(envelope.subject, this.#effort);
      if (isWanted && !subscriptions.anyOtherHas(envelope, this.#subscription, this.#effort)) {
        missed.push(envelope);
      }
    }
    const isLast = at >= this.#ring.end;
    reader.moveTo(at);
    this.#progress.serial = Math.max(this.#progress.serial, at - 1);
    let left = 0;
    if (missed.length > 0 || isLast) {
      const most = Math.max(1, steps - this.#effort.steps);
      left = this.#client.replayPaced(missed, this.#subscription, isLast, most);
      // What a rate has held back until now goes out little by little, and then it joins.
      if (left > 0 && isLast) this.#effort.steps = Math.max(this.#effort.steps, steps);
    }
    if (isLast && left === 0) this.#end(this.#ends.goesOn() ? joins : leaves);
  }

  /** Comes to a message. @returns whether the subscription has not got it yet. */
  #passes(serial: number): boolean {
    const stream = this.#ring.streamAt(serial);
    const { of } = this.#progress;
    const to = stream === undefined ? undefined : of.get(stream);
    if (stream === undefined) return serial > this.#progress.serial;
    const sequence = this.#ring.sequenceAt(serial);
    if (to === undefined ? serial <= this.#progress.serial : sequence <= to) return false;
    // Where it began in a stream shows with the first message of it.
    if (to === undefined) this.#subscription.sinceOf.set(stream, sequence - 1);
    of.set(stream, sequence);
    return true;
  }

  /** The ring has lost what was not read. @returns `false` where a stream may still have it. */
  #toldOfLost(): boolean {
    const { origin, wantsRest, client } = this.#walk;
    for (const [stream, to] of this.#progress.origin === undefined ? this.#progress.of : []) {
      if ((this.#ring.floorOf(stream) ?? 0) > to) return false;
    }
    const { lost, next } = this.#reader;
    const from = Math.max(next, this.#progress.serial + 1);
    const to = next + lost - 1;
    this.#reader.moveTo(to + 1);
    if (from > to || !wantsRest) return true;
    this.#progress.serial = to;
    client.note({
      ...{ type: "gap", reason: "expired", count: to - from + 1 },
      from: cursorOf({ origin, sequence: from }),
      to: cursorOf({ origin, sequence: to }),
      ...(this.#subscription.subjects !== undefined && { exact: false }),
    });
    return true;
  }

  #end(how: () => void): number {
    this.isDone = true;
    this.#reader.close();
    how();
    return 1;
  }
}
