import type { Policy } from "../../protocol/fields.ts";
import type { GapFrame } from "../../protocol/server-frames.ts";
import type { DropReason } from "../metering/ledger.ts";
import type { Meter } from "../metering/meter.ts";
import type { Clock } from "../ports/clock.ts";
import type { Selection } from "../subject/subject.ts";
import { FEW_PATTERNS, SubjectTrie } from "../subject/subject-trie.ts";
import { type Job, SteppedJob, type TurnShare } from "../timing/turn-share.ts";
import { type Envelope, earliest, type Position } from "../wire/envelope.ts";
import type { DeliveryTerms } from "../wire/subscription-request.ts";
import { Pacer } from "./pacer.ts";
import type { QueueBounds } from "./queue-bounds.ts";
import type { Effort, Subscription } from "./subscription.ts";

interface SubscriptionsParts {
  readonly limits: QueueBounds;
  readonly clock: Clock;
  readonly meter: Meter;
  readonly turnShare: TurnShare;
}

/** Takes the messages of subscriptions. */
export interface DueTarget {
  /** Takes a message that is due. */
  takeDue(envelope: Envelope, policy: Policy): void;
  /** Ended subscriptions have handed over the messages that they held back. */
  handedOver(): void;
}

const NONE: readonly Subscription[] = [];
/** The patterns under which a subscription to everything is filed. */
const ALL = [">"];
/** How many messages that were sent apart are remembered; further ones may be delivered twice. */
const MOST_SENT_APART = 65_536;
/**
 * The subscriptions of one client. If several of them want a message, the first one in effect decides about its rate
 * and policy. If several catch up, the first one that comes to a message sends it, and the others skip it.
 */
export class Subscriptions implements Iterable<Subscription> {
  readonly #parts: SubscriptionsParts;
  readonly #target: DueTarget;

  /** The subscriptions in effect, in the order in which the client asked for them. */
  #all: readonly Subscription[] = NONE;
  /** The subscriptions that catch up, and then join the others; most clients have none. */
  #catchingUp: Set<Subscription> | undefined;
  /** The ids of messages that were sent before others that lie in between, while several subscriptions catch up. */
  #sentApart: Set<string> | undefined;
  /** The gaps that the client was told while subscriptions catch up. Gaps that nobody may ask for any more leave memory. */
  #toldGaps: WeakSet<GapFrame> | undefined;
  /** The number of patterns of all subscriptions, and a trie of them if there are many. */
  #patterns = 0;
  #index: SubjectTrie<Subscription> | undefined;
  /** The pacers of subscriptions with a rate; most clients have none, and there may be very many. */
  #pacers: Map<Subscription, Pacer> | undefined;
  /** The pacers of ended subscriptions, oldest first: their messages are handed to other subscriptions in shares. */
  #leaving: Set<Pacer> | undefined;

  constructor(parts: SubscriptionsParts, target: DueTarget) {
    this.#parts = parts;
    this.#target = target;
  }

  /** The number of subscriptions that catch up. */
  get catchingUp(): number {
    return this.#catchingUp?.size ?? 0;
  }

  /** Whether pages of a stream come for one that catches up. */
  get anyReads(): boolean {
    for (const { progress } of this.#catchingUp ?? NONE) if (progress?.reads) return true;
    return false;
  }

  /** Whether subscriptions are at different places of a stream, so that no cursor fits all. */
  get areApart(): boolean {
    for (const { progress } of this.#catchingUp ?? NONE) {
      if (progress?.origin === undefined) return this.#all.length + this.catchingUp > 1;
    }
    return false;
  }

  /** Whether a subscription has a rate, or messages are held back. */
  get anyPaced(): boolean {
    return this.#pacers !== undefined || this.#leaving !== undefined;
  }

  /** The bytes of the messages that are held back. */
  get bytes(): number {
    if (!this.anyPaced) return 0;
    let bytes = 0;
    for (const pacer of this.#pacers?.values() ?? []) bytes += pacer.bytes;
    for (const pacer of this.#leaving ?? []) bytes += pacer.bytes;
    return bytes;
  }

  /** The oldest message that is held back or still to be caught up. */
  get oldest(): Position | undefined {
    return earliest(this.#oldest());
  }

  /** Finds a subscription that is in effect or catches up. */
  find(id: string): Subscription | undefined {
    for (const subscription of this.#catchingUp ?? NONE) {
      if (subscription.id === id) return subscription;
    }
    return this.#all.find((subscription) => subscription.id === id);
  }

  [Symbol.iterator](): Iterator<Subscription> {
    return this.#all.values();
  }

  /** All subscriptions, in effect or catching up. */
  *all(): Generator<Subscription, void, void> {
    yield* this.#all;
    yield* this.#catchingUp ?? NONE;
  }

  /** Adds a subscription that catches up. */
  catchUp(subscription: Subscription): void {
    this.#catchingUp ??= new Set();
    this.#catchingUp.add(subscription);
    this.#file(subscription);
  }

  /** Takes a subscription into effect. */
  add(subscription: Subscription): void {
    if (!this.#endCatchUp(subscription)) this.#file(subscription);
    subscription.progress = undefined;
    const { order } = subscription;
    const at = this.#all.findIndex((other) => other.order > order);
    this.#all = this.#all.toSpliced(at < 0 ? this.#all.length : at, 0, subscription);
    this.#pacerOf(subscription);
  }

  /** Ends a subscription; the messages that it holds back go to other subscriptions that want them. */
  remove(subscription: Subscription): void {
    if (!this.#endCatchUp(subscription) && !this.#all.includes(subscription)) return;
    this.#all = this.#all.filter((other) => other !== subscription);
    this.#unfile(subscription);
    const pacer = this.#pacers?.get(subscription);
    if (pacer === undefined) return;
    this.#pacers?.delete(subscription);
    if (this.#pacers?.size === 0) this.#pacers = undefined;
    pacer.pause();
    if (pacer.messages > 0) this.#leave(pacer);
  }

  /** From now on, a subscription brings only these of its subjects. */
  narrow(subscription: Subscription, subjects: Selection): void {
    this.#unfile(subscription);
    subscription.narrow(subjects);
    this.#file(subscription);
  }

  /**
   * From now on, a subscription brings its messages in another way. Without a rate, it releases what it has held back.
   */
  setDelivery(subscription: Subscription, { policy, maxRate }: DeliveryTerms): void {
    subscription.policy = policy;
    if (subscription.maxRate === maxRate) return;
    subscription.maxRate = maxRate;
    const pacer = this.#pacers?.get(subscription);
    if (pacer === undefined) {
      if (this.#all.includes(subscription)) this.#pacerOf(subscription);
    } else if (maxRate === undefined) {
      pacer.open();
      this.#pacers?.delete(subscription);
      if (this.#pacers?.size === 0) this.#pacers = undefined;
    } else pacer.maxRate = maxRate;
  }

  /** Drops the messages that are held back and that the client may not receive any more. */
  dropForbidden(mayReceive: (subject: string) => boolean): void {
    for (const pacer of this.#pacers?.values() ?? []) pacer.dropForbidden(mayReceive);
    for (const pacer of this.#leaving ?? []) pacer.dropForbidden(mayReceive);
  }

  /** Ends all subscriptions that catch up, or only the one of this name. */
  abandon(id?: string): void {
    for (const subscription of this.#catchingUp ?? NONE) {
      if (id === undefined || subscription.id === id) this.remove(subscription);
    }
  }

  /**
   * Returns which replayed messages are due at once at the subscription's rate: after the last of them, the latest of
   * each subject.
   *
   * @param most the maximum number; another call without new messages returns the others.
   */
  paced(
    missed: readonly Envelope[],
    subscription: Subscription,
    isLast: boolean,
    most: number,
  ): { readonly due: readonly Envelope[]; readonly left: number } {
    const pacer = this.#pacerOf(subscription);
    if (pacer === undefined) return { due: missed, left: 0 };
    const due = pacer.passLatest(missed, isLast, most);
    return { due, left: pacer.messages };
  }

  /** Whether the client has a message by another subscription. */
  anyOtherHas(envelope: Envelope, than: Subscription, effort?: Effort): boolean {
    // This includes subscriptions that catch up.
    if (this.#all.length + this.catchingUp < 2) return false;
    if (this.#sentApart?.has(envelope.id)) return true;
    let has = false;
    this.#visit(
      envelope.subject,
      (other) => {
        has ||= other !== than && other.hasPassed(envelope);
      },
      effort,
    );
    return has;
  }

  /** Remembers messages that were sent out of order, for other subscriptions that catch up. */
  keepSent(envelopes: readonly Envelope[]): void {
    if (this.catchingUp < 2) return;
    this.#sentApart ??= new Set();
    for (const { id } of envelopes) {
      if (this.#sentApart.size < MOST_SENT_APART) this.#sentApart.add(id);
    }
  }

  /** The client is told of a gap. */
  told(gap: GapFrame): void {
    if (this.#catchingUp === undefined) return;
    this.#toldGaps ??= new WeakSet();
    this.#toldGaps.add(gap);
  }

  /** Whether the client was told of a gap while subscriptions catch up. */
  wasTold(gap: GapFrame): boolean {
    return this.#toldGaps?.has(gap) === true;
  }

  /** Returns the subscription whose policy counts for a message: the first of those that bring it. */
  deciderOf(envelope: Envelope, bringer: Subscription): Subscription {
    let first = bringer;
    if (this.catchingUp < 2) return first;
    this.#visit(envelope.subject, (other) => {
      if (other.order < first.order && other.begunBy(envelope)) first = other;
    });
    return first;
  }

  /** Takes a message that one of the subscriptions wants. */
  take(envelope: Envelope): void {
    if (this.#leaving !== undefined) this.#handOverOf(envelope.subject, this.#leaving);
    const first = this.#all.length === 1 ? this.#all[0] : this.#firstThatWants(envelope);
    this.#give(envelope, first);
  }

  /** Releases all messages that are held back, due or not. */
  open(): void {
    for (const pacer of this.#leaving ?? []) {
      for (const envelope of pacer.drain()) this.#handOver(envelope);
    }
    for (const pacer of this.#pacers?.values() ?? []) pacer.open();
  }

  /** Drops all messages that are held back. */
  clear(reason: DropReason): void {
    const pacers = [...(this.#pacers?.values() ?? []), ...(this.#leaving ?? [])];
    this.#pacers = undefined;
    this.#leaving = undefined;
    this.#catchingUp = undefined;
    this.#sentApart = undefined;
    this.#toldGaps = undefined;
    for (const pacer of pacers) this.#parts.meter.ledger.drop(reason, pacer.clear());
  }

  #give(envelope: Envelope, first: Subscription | undefined): void {
    const pacer = first && this.#pacers?.get(first);
    if (pacer !== undefined) pacer.add(envelope);
    else this.#target.takeDue(envelope, first?.policy ?? "disconnect");
  }

  /** Hands the messages of an ended subscription to others that want them, in shares of this turn and the next ones. */
  #leave(pacer: Pacer): void {
    this.#leaving ??= new Set();
    this.#leaving.add(pacer);
    this.#parts.turnShare.run(this, new SteppedJob(this.#handOverAll(pacer)));
  }

  *#handOverAll(pacer: Pacer): Generator<number, void, void> {
    const effort: Effort = { steps: 0 };
    for (const envelope of pacer.drain()) {
      effort.steps = 1;
      this.#handOver(envelope, effort);
      yield effort.steps;
      if (this.#leaving?.has(pacer) !== true) return;
    }
    if (this.#leaving?.delete(pacer) !== true || this.#leaving.size > 0) return;
    this.#leaving = undefined;
    this.#target.handedOver();
  }

  /** Hands over the waiting messages of a subject before a later message of it. */
  #handOverOf(subject: string, leaving: ReadonlySet<Pacer>): void {
    for (const pacer of leaving) {
      const envelope = pacer.takeOut(subject);
      if (envelope !== undefined) this.#handOver(envelope);
    }
  }

  #handOver(envelope: Envelope, effort?: Effort): void {
    const first = this.#firstThatWants(envelope, effort);
    if (first !== undefined) this.#give(envelope, first);
    else this.#parts.meter.ledger.drop("abandoned", 1);
  }

  #firstThatWants({ subject }: Envelope, effort?: Effort): Subscription | undefined {
    let first: Subscription | undefined;
    const visit = (other: Subscription): void => {
      if (other.progress !== undefined || (first !== undefined && first.order <= other.order))
        return;
      first = other;
    };
    this.#visit(subject, visit, effort);
    return first;
  }

  /** Visits each subscription that wants a subject, in effect or not, some perhaps several times. */
  #visit(subject: string, visit: (subscription: Subscription) => void, effort?: Effort): void {
    if (this.#patterns > FEW_PATTERNS) {
      this.#index ??= this.#filed();
      const steps = this.#index.match(subject, visit);
      if (effort !== undefined) effort.steps += steps;
      return;
    }
    for (const one of this.#all) if (one.wants(subject, effort)) visit(one);
    for (const one of this.#catchingUp ?? NONE) if (one.wants(subject, effort)) visit(one);
  }

  #filed(): SubjectTrie<Subscription> {
    const index = new SubjectTrie<Subscription>();
    for (const one of this.all()) {
      for (const pattern of patternsOf(one)) index.add(pattern, one);
    }
    return index;
  }

  #file(subscription: Subscription): void {
    const patterns = patternsOf(subscription);
    this.#patterns += patterns.length;
    for (const pattern of patterns) this.#index?.add(pattern, subscription);
  }

  #unfile(subscription: Subscription): void {
    const patterns = patternsOf(subscription);
    this.#patterns -= patterns.length;
    if (this.#patterns <= FEW_PATTERNS) this.#index = undefined;
    for (const pattern of patterns) this.#index?.remove(pattern, subscription);
  }

  /** @returns whether it caught up until now. */
  #endCatchUp(subscription: Subscription): boolean {
    if (this.#catchingUp?.delete(subscription) !== true) return false;
    if (this.#catchingUp.size === 0) {
      this.#catchingUp = undefined;
      this.#sentApart = undefined;
      this.#toldGaps = undefined;
    }
    return true;
  }

  #pacerOf(subscription: Subscription): Pacer | undefined {
    const { maxRate } = subscription;
    if (maxRate === undefined) return undefined;
    let pacer = this.#pacers?.get(subscription);
    if (pacer === undefined) {
      const { limits, clock, meter } = this.#parts;
      const release = (envelope: Envelope): void =>
        this.#target.takeDue(envelope, subscription.policy);
      const run = (job: Job): void => this.#parts.turnShare.run(this, job);
      pacer = new Pacer(maxRate, limits, clock, meter.ledger, release, run);
      this.#pacers ??= new Map();
      this.#pacers.set(subscription, pacer);
    }
    return pacer;
  }

  *#oldest(): Generator<Position | undefined, void, void> {
    for (const { oldest } of this.#pacers?.values() ?? []) yield oldest;
    for (const { oldest } of this.#leaving ?? []) yield oldest;
    for (const { progress } of this.#catchingUp ?? NONE) {
      if (progress?.origin === undefined) continue;
      const serial = progress.serial + 1;
      yield { origin: progress.origin, sequence: serial, serial };
    }
  }
}

function patternsOf({ subjects }: Subscription): readonly string[] {
  return subjects === "everything" ? ALL : subjects;
}
