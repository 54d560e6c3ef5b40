import { utf8Length } from "../../protocol/subject.ts";
import { OldestFirst } from "../collections/oldest-first.ts";
import type { Cancel, Clock } from "../ports/clock.ts";
import type { MessageSource } from "../ports/source.ts";
import { exposedOf, hasWildcard, isReserved, type Selection } from "../subject/subject.ts";
import { SubjectTrie } from "../subject/subject-trie.ts";
import { SteppedJob, type TurnShare } from "../timing/turn-share.ts";
import {
  type Arrival,
  type UpstreamRefusal,
  UpstreamSubscription,
  type Waiter,
} from "./upstream-subscription.ts";

export interface UpstreamOptions {
  /** The patterns that the gateway exposes, and that it subscribes to for its clients. */
  readonly demanded: readonly string[];
  /** Whether to subscribe to what clients ask for, or to all exposed patterns from the start. */
  readonly upstream: "demand" | "eager";
  /** The time that a pattern stays subscribed after its last user left, for clients that reconnect. */
  readonly upstreamLingerMs: number;
  /** The most patterns, and their most bytes, that linger. Beyond that the oldest are dropped. */
  readonly maxLingering: number;
  readonly maxLingeringBytes: number;
  /** The most different patterns that all clients together may use. */
  readonly maxUpstreamPatterns: number;
}

export interface UpstreamParts {
  readonly clock: Clock;
  readonly source: Pick<MessageSource, "subscribe" | "unsubscribe">;
  readonly turnShare: TurnShare;
  /** The number of the last message that arrived. */
  sequence(): number;
}

/** The share of a turn that one pattern takes, as the source may have to be asked: 512 patterns in a turn. */
const PATTERN_COST = 8;
/**
 * A search for patterns that cover another one, or that it covers, stops after this many nodes without
 * success. A pattern that the search misses is subscribed to although it is covered, which does no harm.
 */
const MAX_FRUITLESS_NODES = 512;

/**
 * The gateway's subscriptions at its source. Each pattern that clients use is subscribed to once, unless a
 * wider one covers it, and stays for a while after its last user left.
 *
 * Each call costs as much as it changes. A wide pattern that comes or goes may change very much: that work
 * is shared out over turns of the event loop, and until it is done some narrower patterns are subscribed
 * to as well.
 */
export class UpstreamSubscriptions {
  /** Counts the patterns that began to arrive, or that had missed something. */
  arrivals = 0;
  /** Counts the patterns and nodes that were looked at: the cost of all work so far. */
  steps = 0;
  readonly #options: UpstreamOptions;
  readonly #parts: UpstreamParts;
  readonly #byPattern = new Map<string, UpstreamSubscription>();
  /** The subscriptions of the source that are not refused: they may cover narrower patterns. */
  readonly #subscribed = new SubjectTrie<UpstreamSubscription>();
  #subscriptionCount = 0;
  /** Patterns that the source does not deliver because it refused them or the pattern that covered them. */
  readonly #missed = new SubjectTrie<UpstreamSubscription>();
  #pending = 0;
  /** The time at which each pattern stops lingering, the oldest first. */
  readonly #lingering = new OldestFirst<UpstreamSubscription, number>();
  #lingeringBytes = 0;
  #lingerTimer: Cancel | undefined;
  /** Patterns without users, to be given up. */
  readonly #dropped = new Set<UpstreamSubscription>();
  #isStopping = false;
  /** The patterns that stay subscribed without a client. */
  #eager: readonly string[] = [];

  constructor(options: UpstreamOptions, parts: UpstreamParts) {
    this.#options = options;
    this.#parts = parts;
    if (options.upstream === "eager") this.#eager = this.acquire("everything");
  }

  /** Patterns that the source has neither confirmed nor refused. */
  get pending(): number {
    return this.#pending;
  }

  /** Patterns that the source is subscribed to. */
  get subscriptions(): number {
    return this.#subscriptionCount;
  }

  /** Patterns without users that are kept for clients that reconnect. */
  get lingering(): number {
    return this.#lingering.size;
  }

  /** How many more patterns clients may use; lingering ones make room. */
  get room(): number {
    return this.#options.maxUpstreamPatterns - this.#byPattern.size + this.#lingering.size;
  }

  /** Counts those of the patterns that are exposed and have no user yet. */
  newOf(subjects: Selection): number {
    let count = 0;
    for (const pattern of this.exposed(subjects)) {
      const subscription = this.#byPattern.get(pattern);
      if (subscription === undefined || subscription.lingers) count++;
    }
    return count;
  }

  /**
   * Adds a user to each of the patterns, as far as they are exposed.
   *
   * @param subjects `"everything"` for all that is exposed.
   * @returns the patterns, for {@linkcode release}: what is exposed may change.
   */
  acquire(subjects: Selection): readonly string[] {
    const patterns = this.exposed(subjects);
    for (const pattern of patterns) this.#use(pattern);
    return patterns;
  }

  /**
   * Calls back once messages of all of the patterns arrive, or once the source refuses one of them: at once, if that is so.
   *
   * @param patterns were acquired.
   * @param call called once, perhaps with the refusal.
   * @param isWaiting whether the user still waits for that.
   */
  whenKnown(
    patterns: readonly string[],
    call: (refusal?: UpstreamRefusal) => void,
    isWaiting: () => boolean = () => true,
  ): void {
    const subscriptions = patterns.flatMap((pattern) => this.#byPattern.get(pattern) ?? []);
    const waiter: Waiter = {
      isWaiting,
      // Waits for one after the other: one that arrived may be cut off meanwhile.
      check: () => {
        const refused = subscriptions.find(({ refusal }) => refusal !== undefined);
        const missing = subscriptions.find(({ since }) => since === undefined);
        if (refused !== undefined) call(refused.refusal);
        else if (missing === undefined) call();
        else missing.addWaiter(waiter);
      },
    };
    waiter.check();
  }

  /** Returns the patterns of what is both exposed and asked for. */
  exposed(subjects: Selection): readonly string[] {
    return exposedOf(this.#options.demanded, subjects);
  }

  /** The gateway exposes other subjects than before. */
  exposureChanged(): void {
    if (this.#options.upstream !== "eager") return;
    const before = this.#eager;
    this.#eager = this.acquire("everything");
    this.release(before);
  }

  /** Takes a user from each of the patterns that `acquire` returned. */
  release(patterns: readonly string[]): void {
    for (const pattern of patterns) {
      const subscription = this.#byPattern.get(pattern);
      if (subscription === undefined || --subscription.users > 0) continue;
      subscription.dropWaiters();
      if (this.#options.upstreamLingerMs === 0) this.#dropped.add(subscription);
      else this.#linger(subscription);
    }
    this.#dropAll();
  }

  /** Messages are missing that should have come until now. @returns the moment since which none is. */
  missed(): Arrival {
    return { sequence: this.#parts.sequence(), number: ++this.arrivals };
  }

  /** Returns since when all messages of all of the patterns arrive; `undefined`: they don't yet. */
  completeSince(subjects: Selection): Arrival | undefined {
    let last: Arrival | undefined = { sequence: 0, number: 0 };
    for (const pattern of this.exposed(subjects)) {
      const since = this.#byPattern.get(pattern)?.since;
      if (since === undefined) return undefined;
      if (since.number > last.number) last = since;
    }
    return last;
  }

  /** The source confirms: messages of the pattern arrive from now on. */
  arrives(pattern: string): void {
    const subscription = this.#byPattern.get(pattern);
    if (subscription === undefined || !subscription.subscribed) return;
    const { cover } = subscription;
    subscription.confirmed = true;
    subscription.setCover(undefined);
    this.#subscribed.add(pattern, subscription);
    this.arrivals++;
    this.#nowArrives(subscription);
    for (const other of subscription.covered ?? []) {
      this.steps++;
      this.#nowArrives(other);
    }
    if (cover?.leaving) this.#finish(cover);
    if (!subscription.leaving && subscription.confirmed && hasWildcard(pattern)) {
      this.#coverOthers(subscription);
    }
  }

  /** Returns the patterns that were refused, or lost their cover, and arrive again with this pattern. */
  returningWith(pattern: string): string[] {
    if (this.#missed.size === 0 || !this.#byPattern.has(pattern)) return [];
    const returning: string[] = [];
    for (const found of this.#missed.covered(pattern)) {
      this.steps++;
      for (const subscription of found ?? []) returning.push(subscription.pattern);
    }
    return returning;
  }

  /**
   * The source refuses a pattern: it covers nothing any more, and the patterns that it covered are
   * subscribed to by themselves.
   *
   * @returns whether that is news.
   */
  refused(pattern: string, refusal: UpstreamRefusal): boolean {
    const subscription = this.#byPattern.get(pattern);
    if (subscription === undefined) return false;
    const wider = this.#coverOf(subscription);
    if (wider?.confirmed && !subscription.leaving) {
      // It was asked for before it was known that the wider pattern brings it.
      if (subscription.subscribed) this.#bringAlong(subscription, wider);
      return false;
    }
    // The wider pattern that brought it until now stays as long as this one doesn't arrive by itself.
    if (subscription.cover?.confirmed) return false;
    const isNews = subscription.refusal === undefined;
    const { cover } = subscription;
    this.#change(subscription, () => {
      subscription.refusal = refusal;
      subscription.since = undefined;
    });
    subscription.confirmed = false;
    subscription.swept = false;
    subscription.setCover(undefined);
    this.#missed.add(pattern, subscription);
    this.#subscribed.remove(pattern, subscription);
    for (const other of [...(subscription.covered ?? [])]) this.#uncover(other);
    subscription.callWaiters();
    if (cover?.leaving) this.#finish(cover);
    if (!subscription.isNeeded) {
      this.#dropped.add(subscription);
      this.#dropAll();
    }
    return isNews;
  }

  /**
   * Returns why a client does not get one of the patterns that it named. If it named none, a refusal counts
   * only when nothing that is exposed arrives.
   */
  refusalOf(subjects: Selection): UpstreamRefusal | undefined {
    const patterns = this.exposed(subjects);
    const refusals = patterns.flatMap((pattern) => this.#byPattern.get(pattern)?.refusal ?? []);
    const isRefused = subjects !== "everything" || refusals.length === patterns.length;
    return isRefused ? refusals[0] : undefined;
  }

  /** Why the source refuses an exposed pattern that some client uses as a whole. */
  get refusal(): string | undefined {
    for (const pattern of this.#options.demanded) {
      const refusal = this.#byPattern.get(pattern)?.refusal;
      if (refusal !== undefined) {
        return `NATS refuses a subscription to ${pattern}: ${refusal.reason}`;
      }
    }
    return undefined;
  }

  /** The source lost its connection: nothing arrives until it confirms each pattern again. */
  cutOff(): void {
    this.#missed.clear();
    this.#pending = this.#byPattern.size;
    for (const subscription of this.#byPattern.values()) {
      this.steps++;
      // A refused pattern was taken out, and may be allowed on the next connection.
      if (subscription.refusal !== undefined && subscription.subscribed) {
        this.#subscribed.add(subscription.pattern, subscription);
      }
      subscription.since = undefined;
      subscription.confirmed = false;
      subscription.refusal = undefined;
    }
  }

  /** Gives up all that lingers and finishes all work that is left, at once; no timer stays. */
  stop(): void {
    for (const subscription of this.#lingering.keys()) {
      subscription.lingers = false;
      this.#dropped.add(subscription);
    }
    this.#lingering.clear();
    this.#lingeringBytes = 0;
    this.#lingerTimer?.();
    this.#lingerTimer = undefined;
    this.#isStopping = true;
    this.#dropAll();
    this.#isStopping = false;
  }

  #use(pattern: string): UpstreamSubscription {
    const known = this.#byPattern.get(pattern);
    if (known === undefined) return this.#create(pattern);
    known.users++;
    this.#unlinger(known);
    this.#dropped.delete(known);
    if (known.leaving) {
      known.leaving = false;
      known.swept = false;
      if (known.confirmed) this.#coverOthers(known);
    }
    return known;
  }

  #create(pattern: string): UpstreamSubscription {
    const created = new UpstreamSubscription(pattern);
    this.#byPattern.set(pattern, created);
    if (this.#byPattern.size > this.#options.maxUpstreamPatterns) this.#makeRoom();
    this.#pending++;
    const cover = this.#coverOf(created);
    if (cover === undefined) this.#subscribe(created);
    else {
      created.setCover(cover);
      this.#change(created, () => {
        created.since = cover.since;
      });
    }
    return created;
  }

  /** Gives up the pattern that has lingered the longest. */
  #makeRoom(): void {
    const oldest = this.#lingering.oldest?.[0];
    if (oldest === undefined) return;
    this.#unlinger(oldest);
    this.#dropped.add(oldest);
    this.#dropAll();
  }

  #linger(subscription: UpstreamSubscription): void {
    const { upstreamLingerMs, maxLingering, maxLingeringBytes } = this.#options;
    const { clock } = this.#parts;
    subscription.lingers = true;
    this.#lingering.set(subscription, clock.nowMs() + upstreamLingerMs);
    this.#lingeringBytes += utf8Length(subscription.pattern);
    for (const oldest of this.#lingering.keys()) {
      const fits = this.#lingeringBytes <= maxLingeringBytes;
      if (this.#lingering.size <= maxLingering && fits) break;
      this.#unlinger(oldest);
      this.#dropped.add(oldest);
    }
    this.#lingerTimer ??= clock.after(upstreamLingerMs, () => this.#dropExpired());
  }

  #unlinger(subscription: UpstreamSubscription): void {
    if (!this.#lingering.delete(subscription)) return;
    subscription.lingers = false;
    this.#lingeringBytes -= utf8Length(subscription.pattern);
    if (this.#lingering.size > 0) return;
    this.#lingerTimer?.();
    this.#lingerTimer = undefined;
  }

  /** Gives up the patterns that have lingered long enough. */
  #dropExpired(): void {
    this.#lingerTimer = undefined;
    const { clock } = this.#parts;
    const nowMs = clock.nowMs();
    for (let next = this.#lingering.oldest; next !== undefined; next = this.#lingering.oldest) {
      const [subscription, untilMs] = next;
      if (untilMs > nowMs) {
        this.#lingerTimer = clock.after(untilMs - nowMs, () => this.#dropExpired());
        break;
      }
      this.#unlinger(subscription);
      this.#dropped.add(subscription);
    }
    this.#dropAll();
  }

  #dropAll(): void {
    if (this.#dropped.size > 0) this.#run(this.#drops());
  }

  *#drops(): Generator<number, void, void> {
    for (const subscription of this.#dropped) {
      this.#dropped.delete(subscription);
      yield* this.#drop(subscription);
    }
  }

  /** Gives up a pattern, once all that it covers arrives in another way. */
  *#drop(subscription: UpstreamSubscription): Generator<number, void, void> {
    if (subscription.isNeeded || !this.#isKnown(subscription)) return;
    if (!subscription.subscribed) {
      this.#forget(subscription);
      yield this.#step();
      return;
    }
    subscription.leaving = true;
    for (const other of subscription.covered ?? []) {
      if (!subscription.leaving) return;
      this.#leaveCover(other);
      yield this.#step();
    }
    this.#finish(subscription);
    yield this.#step();
  }

  /** Moves a pattern to another cover, or subscribes to it, as its cover is about to go. */
  #leaveCover(subscription: UpstreamSubscription): void {
    if (subscription.subscribed || !this.#isKnown(subscription)) return;
    const cover = this.#coverOf(subscription);
    if (cover?.confirmed) {
      subscription.setCover(cover);
      this.#nowArrives(subscription);
      return;
    }
    // A wider pattern that is confirmed later sweeps again, and then covers this one.
    const { pattern } = subscription;
    const forgetSweep = (other: UpstreamSubscription): void => {
      if (canCover(other, pattern)) other.swept = false;
    };
    this.steps += this.#subscribed.covering(pattern, forgetSweep, MAX_FRUITLESS_NODES);
    this.#subscribe(subscription);
  }

  /** Unsubscribes from a pattern without users, if it brings no other pattern any more. */
  #finish(subscription: UpstreamSubscription): void {
    if (!subscription.leaving || (subscription.covered?.size ?? 0) > 0) return;
    subscription.leaving = false;
    this.#unsubscribe(subscription);
    this.#forget(subscription);
  }

  /** Whether a pattern was not forgotten: a waiter that is called for another one may release it. */
  #isKnown(subscription: UpstreamSubscription): boolean {
    return this.#byPattern.get(subscription.pattern) === subscription;
  }

  #forget(subscription: UpstreamSubscription): void {
    const { cover, pattern } = subscription;
    if (subscription.isPending) this.#pending--;
    subscription.setCover(undefined);
    this.#byPattern.delete(pattern);
    this.#missed.remove(pattern, subscription);
    if (cover?.leaving) this.#finish(cover);
  }

  /** Finds a wider pattern that the source stays subscribed to; a confirmed one if there is one. */
  #coverOf({ pattern }: UpstreamSubscription): UpstreamSubscription | undefined {
    let cover: UpstreamSubscription | undefined;
    const accept = (other: UpstreamSubscription): boolean => {
      if (other.leaving || other.pattern === pattern || !canCover(other, pattern)) return false;
      cover = other;
      return other.confirmed;
    };
    this.steps += this.#subscribed.covering(pattern, accept, MAX_FRUITLESS_NODES);
    return cover;
  }

  /** A pattern arrives: what it covers arrives with it, and needs no subscription of its own. */
  #coverOthers(subscription: UpstreamSubscription): void {
    for (const found of [...this.#missed.covered(subscription.pattern)]) {
      this.steps++;
      for (const other of found ?? []) {
        if (other !== subscription) this.#bringAlong(other, subscription);
      }
    }
    if (subscription.swept || this.#subscribed.size < 2) return;
    this.#run(this.#sweep(subscription));
  }

  /** Ends the source's own subscriptions to patterns that a confirmed one covers. */
  *#sweep(subscription: UpstreamSubscription): Generator<number, void, void> {
    let fruitless = 0;
    for (const found of this.#subscribed.covered(subscription.pattern)) {
      yield this.#step();
      // It may be released or cut off meanwhile, and is swept again when it comes back.
      if (subscription.leaving || !subscription.confirmed) return;
      const [other] = found ?? [];
      if (other === undefined || other === subscription || !other.subscribed) {
        if (++fruitless > MAX_FRUITLESS_NODES) break;
        continue;
      }
      fruitless = 0;
      for (const narrow of other.covered ?? []) {
        this.#bringAlong(narrow, subscription);
        yield this.#step();
        if (subscription.leaving || !subscription.confirmed) return;
      }
      if (other.subscribed && (other.covered?.size ?? 0) === 0) {
        this.#bringAlong(other, subscription);
      }
    }
    subscription.swept = subscription.confirmed && !subscription.leaving;
  }

  /** From now on a confirmed wider pattern brings this one and all that it covers. */
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
    subscription.setCover(cover);
    if (before?.leaving) this.#finish(before);
    this.#nowArrives(subscription);
  }

  /** A pattern lost its cover: another one covers it, or it is subscribed to. */
  #uncover(subscription: UpstreamSubscription): void {
    this.steps++;
    if (!this.#isKnown(subscription)) return;
    subscription.setCover(undefined);
    const cover = this.#coverOf(subscription);
    if (cover !== undefined && !subscription.subscribed) subscription.setCover(cover);
    if (cover?.confirmed) {
      this.#nowArrives(subscription);
      return;
    }
    if (subscription.since !== undefined) this.#missed.add(subscription.pattern, subscription);
    this.#change(subscription, () => {
      subscription.since = undefined;
    });
    if (subscription.cover === undefined && !subscription.subscribed) this.#subscribe(subscription);
  }

  #subscribe(subscription: UpstreamSubscription): void {
    subscription.subscribed = true;
    this.#subscriptionCount++;
    this.#subscribed.add(subscription.pattern, subscription);
    this.#parts.source.subscribe(subscription.pattern);
  }

  #unsubscribe(subscription: UpstreamSubscription): void {
    subscription.subscribed = false;
    subscription.confirmed = false;
    subscription.swept = false;
    this.#subscriptionCount--;
    this.#subscribed.remove(subscription.pattern, subscription);
    this.#parts.source.unsubscribe(subscription.pattern);
  }

  #nowArrives(subscription: UpstreamSubscription): void {
    this.#missed.remove(subscription.pattern, subscription);
    this.#change(subscription, () => {
      subscription.refusal = undefined;
      subscription.since ??= { sequence: this.#parts.sequence(), number: this.arrivals };
    });
    subscription.callWaiters();
  }

  #change(subscription: UpstreamSubscription, change: () => void): void {
    const before = subscription.isPending;
    change();
    if (before !== subscription.isPending) this.#pending += before ? -1 : 1;
  }

  /** Does what may be much in shares of the event loop's turns; when everything stops, at once. */
  #run(steps: Generator<number, void, void>): void {
    const job = new SteppedJob(steps, true);
    if (!this.#isStopping) this.#parts.turnShare.run(this, job);
    else while (!job.isDone) job.work(Number.POSITIVE_INFINITY);
  }

  #step(): number {
    this.steps++;
    return PATTERN_COST;
  }
}

/** Whether a pattern that covers another one brings its messages: no wildcard carries NATS' own subjects. */
function canCover({ pattern }: UpstreamSubscription, narrower: string): boolean {
  return isReserved(pattern) || !isReserved(narrower);
}
