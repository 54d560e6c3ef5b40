import { utf8Length } from "../../protocol/subject.ts";
import { OldestFirst } from "../collections/oldest-first.ts";
import type { Cancel, Clock } from "../ports/clock.ts";
import type { MessageSource } from "../ports/source.ts";
import { PatternTrie } from "../subject/pattern-trie.ts";
import { exposedOf, hasWildcard } from "../subject/subject.ts";
import {
  type Arrival,
  type UpstreamRefusal,
  UpstreamSubscription,
  type Waiter,
} from "./upstream-subscription.ts";

export interface UpstreamOptions {
  /** What the endpoint exposes. */
  readonly subjects: readonly string[];
  /** Whether to subscribe to all of that at once, or to what clients ask for. */
  readonly upstream: "demand" | "eager";
  /** What nobody wants any more is still subscribed to for so long, for clients that come back. */
  readonly upstreamLingerMs: number;
  /** The most patterns that linger, and their most bytes; with more, the oldest no longer do. */
  readonly maxLingering: number;
  readonly maxLingeringBytes: number;
  /** The most different patterns that all clients together may want. */
  readonly maxUpstreamPatterns: number;
}

/** So many steps of what may take longer are done in one turn of the event loop: some milliseconds. */
const STEPS_PER_TURN = 500;
/** And the next ones after this time, which others have. */
const TURN_MS = 1;
/**
 * So many branches are looked at in vain, one after the other, for patterns that cover another one, or
 * that it covers. What is not found is subscribed to although it need not be, which does no harm.
 */
const STEPS_IN_VAIN = 512;

/**
 * What the gateway subscribes to at its source: what clients want, each pattern once, none that a
 * wider one covers, and each for a while longer than somebody wants it.
 *
 * Whatever clients ask for, each call costs what it changes. What a wide pattern changes when it comes or
 * goes may be very much: that is done little by little, and until it is done some patterns are subscribed
 * to beside it.
 */
export class UpstreamSubscriptions {
  /** How often something began to arrive. */
  arrivals = 0;
  /** Patterns and branches that were looked at, of all: what the work has cost. */
  steps = 0;
  readonly #options: UpstreamOptions;
  readonly #clock: Clock;
  readonly #source: Pick<MessageSource, "subscribe" | "unsubscribe">;
  readonly #sequence: () => number;
  readonly #stepsPerTurn: number;
  readonly #byPattern = new Map<string, UpstreamSubscription>();
  /** Those that the source is subscribed to, and may be: they cover narrower ones. */
  readonly #subscribed = new PatternTrie<UpstreamSubscription>();
  #subscriptionCount = 0;
  /** Patterns that NATS doesn't deliver because it refused them or the wildcard that covered them. */
  readonly #missed = new PatternTrie<UpstreamSubscription>();
  #pending = 0;
  /** Until when each lingers, the one that has done so the longest first. */
  readonly #lingering = new OldestFirst<UpstreamSubscription, number>();
  #lingeringBytes = 0;
  #lingerTimer: Cancel | undefined;
  /** Patterns to unsubscribe from. */
  readonly #dropped = new Set<UpstreamSubscription>();
  /** What is done little by little. */
  readonly #jobs = new Set<Generator<void, void, void>>();
  #jobTimer: Cancel | undefined;
  #works = false;

  /** @param sequence the number of the last message that has come. */
  constructor(
    options: UpstreamOptions,
    clock: Clock,
    source: Pick<MessageSource, "subscribe" | "unsubscribe">,
    sequence: () => number,
    stepsPerTurn = STEPS_PER_TURN,
  ) {
    this.#stepsPerTurn = stepsPerTurn;
    this.#options = options;
    this.#clock = clock;
    this.#source = source;
    this.#sequence = sequence;
    if (options.upstream === "eager") this.acquire(undefined);
  }

  /** Patterns that the source has not confirmed yet. */
  get pending(): number {
    return this.#pending;
  }

  /** Patterns that the source is subscribed to. */
  get subscriptions(): number {
    return this.#subscriptionCount;
  }

  /** How many patterns nobody wants any more, which are kept for clients that come back. */
  get lingering(): number {
    return this.#lingering.size;
  }

  /** How many more patterns may be wanted; those that only linger make room. */
  get room(): number {
    return this.#options.maxUpstreamPatterns - this.#byPattern.size + this.#lingering.size;
  }

  /** How many of these patterns, as far as they are exposed, nobody wants yet. */
  newOf(subjects: readonly string[] | undefined): number {
    let count = 0;
    for (const pattern of this.#exposed(subjects)) {
      const subscription = this.#byPattern.get(pattern);
      if (subscription === undefined || subscription.lingers) count++;
    }
    return count;
  }

  /**
   * Somebody wants these patterns, as far as they are exposed.
   *
   * @param subjects `undefined` for all that is exposed.
   * @param whenKnown called once messages of all of them arrive (at once, if they do), or once the
   * source says that it may not subscribe to one of them, with the reason.
   * @param goesOn whether the client still waits.
   */
  acquire(
    subjects: readonly string[] | undefined,
    whenKnown: (refusal?: UpstreamRefusal) => void = () => {},
    goesOn: () => boolean = () => true,
  ): void {
    const subscriptions = this.#exposed(subjects).map((pattern) => this.#use(pattern));
    const waiter: Waiter = {
      goesOn,
      // One after the other: what has arrived may be cut off while another one is waited for.
      known: () => {
        const refused = subscriptions.find(({ refusal }) => refusal !== undefined);
        const missing = subscriptions.find(({ since }) => since === undefined);
        if (refused !== undefined) whenKnown(refused.refusal);
        else if (missing === undefined) whenKnown();
        else missing.await(waiter);
      },
    };
    waiter.known();
  }

  /** Somebody no longer wants them. */
  release(subjects: readonly string[] | undefined): void {
    for (const pattern of this.#exposed(subjects)) {
      const subscription = this.#byPattern.get(pattern);
      if (subscription === undefined || --subscription.users > 0) continue;
      subscription.waiters = [];
      if (this.#options.upstreamLingerMs === 0) this.#dropped.add(subscription);
      else this.#linger(subscription);
    }
    this.#dropAll();
  }

  /** Since when every message of the patterns has come; `undefined`: not yet. */
  completeSince(subjects: readonly string[] | undefined): Arrival | undefined {
    let last: Arrival | undefined = { sequence: 0, number: 0 };
    for (const pattern of this.#exposed(subjects)) {
      const since = this.#byPattern.get(pattern)?.since;
      if (since === undefined) return undefined;
      if (since.number > last.number) last = since;
    }
    return last;
  }

  /** The source says that a pattern's messages arrive from now on. */
  arrives(pattern: string): void {
    const subscription = this.#byPattern.get(pattern);
    if (subscription === undefined || !subscription.subscribed) return;
    const { cover } = subscription;
    subscription.confirmed = true;
    subscription.comeWith(undefined);
    this.#subscribed.set(pattern, subscription);
    this.arrivals++;
    this.#nowArrives(subscription);
    for (const other of subscription.covered ?? []) {
      this.steps++;
      this.#nowArrives(other);
    }
    if (cover?.leaving) this.#finish(cover);
    if (!subscription.leaving && subscription.confirmed && hasWildcard(pattern))
      this.#cover(subscription);
  }

  /** What would come again when a pattern arrives, after something was refused. */
  returningWith(pattern: string): string[] {
    if (this.#missed.size === 0 || !this.#byPattern.has(pattern)) return [];
    const returning: string[] = [];
    for (const subscription of this.#missed.covered(pattern)) {
      this.steps++;
      if (subscription !== undefined) returning.push(subscription.pattern);
    }
    return returning;
  }

  /**
   * The source may not subscribe to a pattern: it covers nothing, and what it covered goes by itself.
   *
   * @returns whether that is news.
   */
  refused(pattern: string, refusal: UpstreamRefusal): boolean {
    const subscription = this.#byPattern.get(pattern);
    if (subscription === undefined) return false;
    const wider = this.#coverOf(subscription);
    if (wider?.confirmed && !subscription.leaving) {
      // It would not have been asked for, had there been time to see that it comes with that one.
      if (subscription.subscribed) this.#bringAlong(subscription, wider);
      return false;
    }
    // The wider one that it came with until now is kept as long as it does not come by itself.
    if (subscription.cover?.confirmed) return false;
    const isNews = subscription.refusal === undefined;
    const { cover } = subscription;
    this.#change(subscription, () => {
      subscription.refusal = refusal;
      subscription.since = undefined;
    });
    subscription.confirmed = false;
    subscription.swept = false;
    subscription.comeWith(undefined);
    this.#missed.set(pattern, subscription);
    this.#subscribed.delete(pattern);
    for (const other of [...(subscription.covered ?? [])]) this.#uncover(other);
    subscription.tell();
    if (cover?.leaving) this.#finish(cover);
    if (!subscription.isNeeded) {
      this.#dropped.add(subscription);
      this.#dropAll();
    }
    return isNews;
  }

  /**
   * Returns why a client does not get one of the patterns that it named; if it named none, why nothing that
   * is exposed comes.
   */
  refusalOf(subjects: readonly string[] | undefined): UpstreamRefusal | undefined {
    const patterns = this.#exposed(subjects);
    const refusals = patterns.flatMap((pattern) => this.#byPattern.get(pattern)?.refusal ?? []);
    const isRefused = subjects !== undefined || refusals.length === patterns.length;
    return isRefused ? refusals[0] : undefined;
  }

  /** Why the source may not subscribe to what the endpoint exposes, of which somebody wants all. */
  get refusal(): string | undefined {
    for (const pattern of this.#options.subjects) {
      const refusal = this.#byPattern.get(pattern)?.refusal;
      if (refusal !== undefined) {
        return `NATS refuses a subscription to ${pattern}: ${refusal.reason}`;
      }
    }
    return undefined;
  }

  /** The source was cut off: what was published meanwhile has not come. */
  cutOff(): void {
    this.#missed.clear();
    this.#pending = this.#byPattern.size;
    for (const subscription of this.#byPattern.values()) {
      this.steps++;
      // A refused pattern was taken out, and may be allowed now.
      if (subscription.refusal !== undefined && subscription.subscribed)
        this.#subscribed.set(subscription.pattern, subscription);
      subscription.since = undefined;
      subscription.confirmed = false;
      subscription.refusal = undefined;
    }
  }

  /** Lets go at once of what only lingers, and so of every timer. */
  stop(): void {
    for (const subscription of this.#lingering.keys()) {
      subscription.lingers = false;
      this.#dropped.add(subscription);
    }
    this.#lingering.clear();
    this.#lingeringBytes = 0;
    this.#lingerTimer?.();
    this.#lingerTimer = undefined;
    this.#dropAll();
    this.#work(Number.POSITIVE_INFINITY);
  }

  #exposed(subjects: readonly string[] | undefined): string[] {
    return exposedOf(this.#options.subjects, subjects);
  }

  #use(pattern: string): UpstreamSubscription {
    let subscription = this.#byPattern.get(pattern);
    if (subscription === undefined) {
      subscription = new UpstreamSubscription(pattern);
      this.#byPattern.set(pattern, subscription);
      if (this.#byPattern.size > this.#options.maxUpstreamPatterns) this.#makeRoom();
      this.#pending++;
      const cover = this.#coverOf(subscription);
      if (cover === undefined) this.#subscribe(subscription);
      else {
        subscription.comeWith(cover);
        this.#change(subscription, (created) => {
          created.since = cover.since;
        });
      }
      return subscription;
    }
    subscription.users++;
    this.#unlinger(subscription);
    this.#dropped.delete(subscription);
    if (subscription.leaving) {
      subscription.leaving = false;
      subscription.swept = false;
      if (subscription.confirmed) this.#cover(subscription);
    }
    return subscription;
  }

  /** The one that has lingered the longest goes. */
  #makeRoom(): void {
    const oldest = this.#lingering.oldest?.[0];
    if (oldest === undefined) return;
    this.#unlinger(oldest);
    this.#dropped.add(oldest);
    this.#dropAll();
  }

  #linger(subscription: UpstreamSubscription): void {
    const { upstreamLingerMs, maxLingering, maxLingeringBytes } = this.#options;
    subscription.lingers = true;
    this.#lingering.set(subscription, this.#clock.nowMs() + upstreamLingerMs);
    this.#lingeringBytes += utf8Length(subscription.pattern);
    for (const oldest of this.#lingering.keys()) {
      const fits = this.#lingeringBytes <= maxLingeringBytes;
      if (this.#lingering.size <= maxLingering && fits) break;
      this.#unlinger(oldest);
      this.#dropped.add(oldest);
    }
    this.#lingerTimer ??= this.#clock.after(upstreamLingerMs, () => this.#lingeredLongEnough());
  }

  #unlinger(subscription: UpstreamSubscription): void {
    if (!this.#lingering.delete(subscription)) return;
    subscription.lingers = false;
    this.#lingeringBytes -= utf8Length(subscription.pattern);
    if (this.#lingering.size > 0) return;
    this.#lingerTimer?.();
    this.#lingerTimer = undefined;
  }

  #lingeredLongEnough(): void {
    this.#lingerTimer = undefined;
    const nowMs = this.#clock.nowMs();
    for (let next = this.#lingering.oldest; next !== undefined; next = this.#lingering.oldest) {
      const [subscription, untilMs] = next;
      if (untilMs > nowMs) {
        this.#lingerTimer = this.#clock.after(untilMs - nowMs, () => this.#lingeredLongEnough());
        break;
      }
      this.#unlinger(subscription);
      this.#dropped.add(subscription);
    }
    this.#dropAll();
  }

  #dropAll(): void {
    if (this.#dropped.size > 0) this.#begin(this.#drops());
  }

  *#drops(): Generator<void, void, void> {
    for (const subscription of this.#dropped) {
      this.#dropped.delete(subscription);
      yield* this.#drop(subscription);
    }
  }

  /** Lets a pattern go, once all that comes with it comes otherwise. */
  *#drop(subscription: UpstreamSubscription): Generator<void, void, void> {
    if (subscription.isNeeded || !this.#isKnown(subscription)) return;
    if (!subscription.subscribed) {
      this.#forget(subscription);
      yield;
      return;
    }
    subscription.leaving = true;
    for (const other of subscription.covered ?? []) {
      if (!subscription.leaving) return;
      this.#leaveCover(other);
      yield;
    }
    this.#finish(subscription);
    yield;
  }

  /** The cover of a pattern is to go: it comes with another one, or is subscribed to. */
  #leaveCover(subscription: UpstreamSubscription): void {
    if (subscription.subscribed || !this.#isKnown(subscription)) return;
    const cover = this.#coverOf(subscription);
    if (cover?.confirmed) {
      subscription.comeWith(cover);
      this.#nowArrives(subscription);
      return;
    }
    // A wider pattern may arrive later, and this one then comes with it.
    const forget = (other: UpstreamSubscription): boolean => {
      other.swept = false;
      return false;
    };
    this.steps += this.#subscribed.covering(subscription.pattern, forget, STEPS_IN_VAIN);
    this.#subscribe(subscription);
  }

  /** Unsubscribes from a pattern that nobody wants, if nothing comes with it any more. */
  #finish(subscription: UpstreamSubscription): void {
    if (!subscription.leaving || (subscription.covered?.size ?? 0) > 0) return;
    subscription.leaving = false;
    this.#unsubscribe(subscription);
    this.#forget(subscription);
  }

  /** Whether a pattern is not gone: a waiter that is told that another one arrives may have released it. */
  #isKnown(subscription: UpstreamSubscription): boolean {
    return this.#byPattern.get(subscription.pattern) === subscription;
  }

  #forget(subscription: UpstreamSubscription): void {
    const { cover } = subscription;
    if (subscription.isPending) this.#pending--;
    subscription.comeWith(undefined);
    this.#byPattern.delete(subscription.pattern);
    this.#missed.delete(subscription.pattern);
    if (cover?.leaving) this.#finish(cover);
  }

  /** A wider pattern that the source is subscribed to, and stays so; a confirmed one if there is one. */
  #coverOf({ pattern }: UpstreamSubscription): UpstreamSubscription | undefined {
    let cover: UpstreamSubscription | undefined;
    const accept = (subscription: UpstreamSubscription): boolean => {
      if (subscription.leaving || subscription.pattern === pattern) return false;
      cover = subscription;
      return subscription.confirmed;
    };
    this.steps += this.#subscribed.covering(pattern, accept, STEPS_IN_VAIN);
    return cover;
  }

  /** What a pattern that arrives covers arrives with it, and need not be subscribed to. */
  #cover(subscription: UpstreamSubscription): void {
    for (const other of [...this.#missed.covered(subscription.pattern)]) {
      this.steps++;
      if (other !== undefined && other !== subscription) this.#bringAlong(other, subscription);
    }
    if (subscription.swept || this.#subscribed.size < 2) return;
    this.#begin(this.#sweep(subscription));
  }

  *#sweep(subscription: UpstreamSubscription): Generator<void, void, void> {
    let inVain = 0;
    for (const other of this.#subscribed.covered(subscription.pattern)) {
      yield;
      // It may have been released or cut off meanwhile, and is swept again when it comes again.
      if (subscription.leaving || !subscription.confirmed) return;
      if (other === undefined || other === subscription || !other.subscribed) {
        if (++inVain > STEPS_IN_VAIN) break;
        continue;
      }
      inVain = 0;
      for (const narrow of other.covered ?? []) {
        this.#bringAlong(narrow, subscription);
        yield;
        if (subscription.leaving || !subscription.confirmed) return;
      }
      if (other.subscribed && (other.covered?.size ?? 0) === 0)
        this.#bringAlong(other, subscription);
    }
    subscription.swept = subscription.confirmed && !subscription.leaving;
  }

  /** A pattern, and what comes with it, comes with a wider one that arrives, and not by itself. */
  #bringAlong(subscription: UpstreamSubscription, cover: UpstreamSubscription): void {
    this.steps++;
    if (!this.#isKnown(subscription)) return;
    for (const other of [...(subscription.covered ?? [])]) this.#bringAlong(other, cover);
    if (subscription.subscribed) this.#unsubscribe(subscription);
    const before = subscription.cover;
    if (subscription.leaving) {
      subscription.leaving = false;
      this.#forget(subscription);
      return;
    }
    subscription.comeWith(cover);
    if (before?.leaving) this.#finish(before);
    this.#nowArrives(subscription);
  }

  /** What came with a pattern comes no longer, but for what another one brings. */
  #uncover(subscription: UpstreamSubscription): void {
    this.steps++;
    if (!this.#isKnown(subscription)) return;
    subscription.comeWith(undefined);
    const cover = this.#coverOf(subscription);
    if (cover !== undefined && !subscription.subscribed) subscription.comeWith(cover);
    if (cover?.confirmed) {
      this.#nowArrives(subscription);
      return;
    }
    if (subscription.since !== undefined) this.#missed.set(subscription.pattern, subscription);
    this.#change(subscription, () => {
      subscription.since = undefined;
    });
    if (subscription.cover === undefined && !subscription.subscribed) this.#subscribe(subscription);
  }

  #subscribe(subscription: UpstreamSubscription): void {
    subscription.subscribed = true;
    this.#subscriptionCount++;
    this.#subscribed.set(subscription.pattern, subscription);
    this.#source.subscribe(subscription.pattern);
  }

  #unsubscribe(subscription: UpstreamSubscription): void {
    subscription.subscribed = false;
    subscription.confirmed = false;
    subscription.swept = false;
    this.#subscriptionCount--;
    this.#subscribed.delete(subscription.pattern);
    this.#source.unsubscribe(subscription.pattern);
  }

  #nowArrives(subscription: UpstreamSubscription): void {
    this.#missed.delete(subscription.pattern);
    this.#change(subscription, () => {
      subscription.refusal = undefined;
      subscription.since ??= { sequence: this.#sequence(), number: this.arrivals };
    });
    subscription.tell();
  }

  #change(
    subscription: UpstreamSubscription,
    change: (subscription: UpstreamSubscription) => void,
  ): void {
    const before = subscription.isPending;
    change(subscription);
    if (before !== subscription.isPending) this.#pending += before ? -1 : 1;
  }

  /** Does something little by little, as much as may be at once. */
  #begin(job: Generator<void, void, void>): void {
    this.#jobs.add(job);
    // Whoever works does this, too; and whoever had to stop goes on in the next turn.
    if (!this.#works && this.#jobTimer === undefined) this.#work(this.#stepsPerTurn);
  }

  #work(maxSteps: number): void {
    this.#jobTimer?.();
    this.#jobTimer = undefined;
    this.#works = true;
    let steps = 0;
    try {
      for (const job of this.#jobs) {
        while (steps < maxSteps && !job.next().done) steps++;
        if (steps >= maxSteps) break;
        this.#jobs.delete(job);
      }
    } finally {
      this.#works = false;
    }
    this.steps += steps;
    if (this.#jobs.size > 0) {
      this.#jobTimer = this.#clock.after(TURN_MS, () => {
        this.#jobTimer = undefined;
        this.#work(this.#stepsPerTurn);
      });
    }
  }
}
