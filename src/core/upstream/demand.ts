import { OldestFirst } from "../collections/oldest-first.ts";
import type { Cancel, Clock } from "../ports/clock.ts";
import type { MessageSource } from "../ports/source.ts";
import { PatternTrie } from "../subject/pattern-trie.ts";
import { exposedOf, hasWildcard, utf8Length } from "../subject/subject.ts";
import { type Arrival, type UpstreamRefusal, type Waiter, Want } from "./want.ts";

export interface DemandOptions {
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
export class Demand {
  /** How often something began to arrive. */
  arrivals = 0;
  /** Patterns and branches that were looked at, of all: what the work has cost. */
  steps = 0;
  readonly #options: DemandOptions;
  readonly #clock: Clock;
  readonly #source: Pick<MessageSource, "subscribe" | "unsubscribe">;
  readonly #sequence: () => number;
  readonly #stepsPerTurn: number;
  readonly #wants = new Map<string, Want>();
  /** Those that the source is subscribed to, and may be: they cover narrower ones. */
  readonly #subscribed = new PatternTrie<Want>();
  #subscriptions = 0;
  /** Patterns that NATS doesn't deliver because it refused them or the wildcard that covered them. */
  readonly #missed = new PatternTrie<Want>();
  #pending = 0;
  /** Until when each lingers, the one that has done so the longest first. */
  readonly #lingering = new OldestFirst<Want, number>();
  #lingeringBytes = 0;
  #lingerTimer: Cancel | undefined;
  /** Patterns to unsubscribe from. */
  readonly #dropped = new Set<Want>();
  /** What is done little by little. */
  readonly #jobs = new Set<Generator<void, void, void>>();
  #jobTimer: Cancel | undefined;
  #works = false;

  /** @param sequence the number of the last message that has come. */
  constructor(
    options: DemandOptions,
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
    if (options.upstream === "eager") this.want(undefined);
  }

  /** Patterns that the source has not confirmed yet. */
  get pending(): number {
    return this.#pending;
  }

  /** Patterns that the source is subscribed to. */
  get subscriptions(): number {
    return this.#subscriptions;
  }

  /** How many patterns nobody wants any more, which are kept for clients that come back. */
  get lingering(): number {
    return this.#lingering.size;
  }

  /** How many more patterns may be wanted; those that only linger make room. */
  get room(): number {
    return this.#options.maxUpstreamPatterns - this.#wants.size + this.#lingering.size;
  }

  /** How many of these patterns, as far as they are exposed, nobody wants yet. */
  newOf(subjects: readonly string[] | undefined): number {
    let count = 0;
    for (const pattern of this.#exposed(subjects)) {
      const want = this.#wants.get(pattern);
      if (want === undefined || want.lingers) count++;
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
  want(
    subjects: readonly string[] | undefined,
    whenKnown: (refusal?: UpstreamRefusal) => void = () => {},
    goesOn: () => boolean = () => true,
  ): void {
    const wants = this.#exposed(subjects).map((pattern) => this.#use(pattern));
    const waiter: Waiter = {
      goesOn,
      // One after the other: what has arrived may be cut off while another one is waited for.
      known: () => {
        const refused = wants.find(({ refusal }) => refusal !== undefined);
        const missing = wants.find(({ since }) => since === undefined);
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
      const want = this.#wants.get(pattern);
      if (want === undefined || --want.users > 0) continue;
      want.waiters = [];
      if (this.#options.upstreamLingerMs === 0) this.#dropped.add(want);
      else this.#linger(want);
    }
    this.#dropAll();
  }

  /** Since when every message of the patterns has come; `undefined`: not yet. */
  completeSince(subjects: readonly string[] | undefined): Arrival | undefined {
    let last: Arrival | undefined = { sequence: 0, number: 0 };
    for (const pattern of this.#exposed(subjects)) {
      const since = this.#wants.get(pattern)?.since;
      if (since === undefined) return undefined;
      if (since.number > last.number) last = since;
    }
    return last;
  }

  /** The source says that a pattern's messages arrive from now on. */
  arrives(pattern: string): void {
    const want = this.#wants.get(pattern);
    if (want === undefined || !want.subscribed) return;
    const { cover } = want;
    want.confirmed = true;
    want.comeWith(undefined);
    this.#subscribed.set(pattern, want);
    this.arrivals++;
    this.#nowArrives(want);
    for (const other of want.covered ?? []) {
      this.steps++;
      this.#nowArrives(other);
    }
    if (cover?.leaving) this.#finish(cover);
    if (!want.leaving && want.confirmed && hasWildcard(pattern)) this.#cover(want);
  }

  /** What would come again when a pattern arrives, after something was refused. */
  returningWith(pattern: string): string[] {
    if (this.#missed.size === 0 || !this.#wants.has(pattern)) return [];
    const returning: string[] = [];
    for (const want of this.#missed.covered(pattern)) {
      this.steps++;
      if (want !== undefined) returning.push(want.pattern);
    }
    return returning;
  }

  /**
   * The source may not subscribe to a pattern: it covers nothing, and what it covered goes by itself.
   *
   * @returns whether that is news.
   */
  refused(pattern: string, refusal: UpstreamRefusal): boolean {
    const want = this.#wants.get(pattern);
    if (want === undefined) return false;
    const wider = this.#coverOf(want);
    if (wider?.confirmed && !want.leaving) {
      // It would not have been asked for, had there been time to see that it comes with that one.
      if (want.subscribed) this.#bringAlong(want, wider);
      return false;
    }
    // The wider one that it came with until now is kept as long as it does not come by itself.
    if (want.cover?.confirmed) return false;
    const isNews = want.refusal === undefined;
    const { cover } = want;
    this.#change(want, () => {
      want.refusal = refusal;
      want.since = undefined;
    });
    want.confirmed = false;
    want.swept = false;
    want.comeWith(undefined);
    this.#missed.set(pattern, want);
    this.#subscribed.delete(pattern);
    for (const other of [...(want.covered ?? [])]) this.#uncover(other);
    want.tell();
    if (cover?.leaving) this.#finish(cover);
    if (!want.isNeeded) {
      this.#dropped.add(want);
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
    const refusals = patterns.flatMap((pattern) => this.#wants.get(pattern)?.refusal ?? []);
    const isRefused = subjects !== undefined || refusals.length === patterns.length;
    return isRefused ? refusals[0] : undefined;
  }

  /** Why the source may not subscribe to what the endpoint exposes, of which somebody wants all. */
  get refusal(): string | undefined {
    for (const pattern of this.#options.subjects) {
      const refusal = this.#wants.get(pattern)?.refusal;
      if (refusal !== undefined) {
        return `NATS refuses a subscription to ${pattern}: ${refusal.reason}`;
      }
    }
    return undefined;
  }

  /** The source was cut off: what was published meanwhile has not come. */
  cutOff(): void {
    this.#missed.clear();
    this.#pending = this.#wants.size;
    for (const want of this.#wants.values()) {
      this.steps++;
      // A refused pattern was taken out, and may be allowed now.
      if (want.refusal !== undefined && want.subscribed) this.#subscribed.set(want.pattern, want);
      want.since = undefined;
      want.confirmed = false;
      want.refusal = undefined;
    }
  }

  /** Lets go at once of what only lingers, and so of every timer. */
  stop(): void {
    for (const want of this.#lingering.keys()) {
      want.lingers = false;
      this.#dropped.add(want);
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

  #use(pattern: string): Want {
    let want = this.#wants.get(pattern);
    if (want === undefined) {
      want = new Want(pattern);
      this.#wants.set(pattern, want);
      if (this.#wants.size > this.#options.maxUpstreamPatterns) this.#makeRoom();
      this.#pending++;
      const cover = this.#coverOf(want);
      if (cover === undefined) this.#subscribe(want);
      else {
        want.comeWith(cover);
        this.#change(want, (created) => {
          created.since = cover.since;
        });
      }
      return want;
    }
    want.users++;
    this.#unlinger(want);
    this.#dropped.delete(want);
    if (want.leaving) {
      want.leaving = false;
      want.swept = false;
      if (want.confirmed) this.#cover(want);
    }
    return want;
  }

  /** The one that has lingered the longest goes. */
  #makeRoom(): void {
    const oldest = this.#lingering.oldest?.[0];
    if (oldest === undefined) return;
    this.#unlinger(oldest);
    this.#dropped.add(oldest);
    this.#dropAll();
  }

  #linger(want: Want): void {
    const { upstreamLingerMs, maxLingering, maxLingeringBytes } = this.#options;
    want.lingers = true;
    this.#lingering.set(want, this.#clock.nowMs() + upstreamLingerMs);
    this.#lingeringBytes += utf8Length(want.pattern);
    for (const oldest of this.#lingering.keys()) {
      const fits = this.#lingeringBytes <= maxLingeringBytes;
      if (this.#lingering.size <= maxLingering && fits) break;
      this.#unlinger(oldest);
      this.#dropped.add(oldest);
    }
    this.#lingerTimer ??= this.#clock.after(upstreamLingerMs, () => this.#lingeredLongEnough());
  }

  #unlinger(want: Want): void {
    if (!this.#lingering.delete(want)) return;
    want.lingers = false;
    this.#lingeringBytes -= utf8Length(want.pattern);
    if (this.#lingering.size > 0) return;
    this.#lingerTimer?.();
    this.#lingerTimer = undefined;
  }

  #lingeredLongEnough(): void {
    this.#lingerTimer = undefined;
    const nowMs = this.#clock.nowMs();
    for (let next = this.#lingering.oldest; next !== undefined; next = this.#lingering.oldest) {
      const [want, untilMs] = next;
      if (untilMs > nowMs) {
        this.#lingerTimer = this.#clock.after(untilMs - nowMs, () => this.#lingeredLongEnough());
        break;
      }
      this.#unlinger(want);
      this.#dropped.add(want);
    }
    this.#dropAll();
  }

  #dropAll(): void {
    if (this.#dropped.size > 0) this.#begin(this.#drops());
  }

  *#drops(): Generator<void, void, void> {
    for (const want of this.#dropped) {
      this.#dropped.delete(want);
      yield* this.#drop(want);
    }
  }

  /** Lets a pattern go, once all that comes with it comes otherwise. */
  *#drop(want: Want): Generator<void, void, void> {
    if (want.isNeeded || !this.#isKnown(want)) return;
    if (!want.subscribed) {
      this.#forget(want);
      yield;
      return;
    }
    want.leaving = true;
    for (const other of want.covered ?? []) {
      if (!want.leaving) return;
      this.#leaveCover(other);
      yield;
    }
    this.#finish(want);
    yield;
  }

  /** The cover of a pattern is to go: it comes with another one, or is subscribed to. */
  #leaveCover(want: Want): void {
    if (want.subscribed || !this.#isKnown(want)) return;
    const cover = this.#coverOf(want);
    if (cover?.confirmed) {
      want.comeWith(cover);
      this.#nowArrives(want);
      return;
    }
    // A wider pattern may arrive later, and this one then comes with it.
    const forget = (other: Want): boolean => {
      other.swept = false;
      return false;
    };
    this.steps += this.#subscribed.covering(want.pattern, forget, STEPS_IN_VAIN);
    this.#subscribe(want);
  }

  /** Unsubscribes from a pattern that nobody wants, if nothing comes with it any more. */
  #finish(want: Want): void {
    if (!want.leaving || (want.covered?.size ?? 0) > 0) return;
    want.leaving = false;
    this.#unsubscribe(want);
    this.#forget(want);
  }

  /** Whether a pattern is not gone: a waiter that is told that another one arrives may have released it. */
  #isKnown(want: Want): boolean {
    return this.#wants.get(want.pattern) === want;
  }

  #forget(want: Want): void {
    const { cover } = want;
    if (want.isPending) this.#pending--;
    want.comeWith(undefined);
    this.#wants.delete(want.pattern);
    this.#missed.delete(want.pattern);
    if (cover?.leaving) this.#finish(cover);
  }

  /** A wider pattern that the source is subscribed to, and stays so; a confirmed one if there is one. */
  #coverOf({ pattern }: Want): Want | undefined {
    let cover: Want | undefined;
    const accept = (want: Want): boolean => {
      if (want.leaving || want.pattern === pattern) return false;
      cover = want;
      return want.confirmed;
    };
    this.steps += this.#subscribed.covering(pattern, accept, STEPS_IN_VAIN);
    return cover;
  }

  /** What a pattern that arrives covers arrives with it, and need not be subscribed to. */
  #cover(want: Want): void {
    for (const other of [...this.#missed.covered(want.pattern)]) {
      this.steps++;
      if (other !== undefined && other !== want) this.#bringAlong(other, want);
    }
    if (want.swept || this.#subscribed.size < 2) return;
    this.#begin(this.#sweep(want));
  }

  *#sweep(want: Want): Generator<void, void, void> {
    let inVain = 0;
    for (const other of this.#subscribed.covered(want.pattern)) {
      yield;
      // It may have been released or cut off meanwhile, and is swept again when it comes again.
      if (want.leaving || !want.confirmed) return;
      if (other === undefined || other === want || !other.subscribed) {
        if (++inVain > STEPS_IN_VAIN) break;
        continue;
      }
      inVain = 0;
      for (const narrow of other.covered ?? []) {
        this.#bringAlong(narrow, want);
        yield;
        if (want.leaving || !want.confirmed) return;
      }
      if (other.subscribed && (other.covered?.size ?? 0) === 0) this.#bringAlong(other, want);
    }
    want.swept = want.confirmed && !want.leaving;
  }

  /** A pattern, and what comes with it, comes with a wider one that arrives, and not by itself. */
  #bringAlong(want: Want, cover: Want): void {
    this.steps++;
    if (!this.#isKnown(want)) return;
    for (const other of [...(want.covered ?? [])]) this.#bringAlong(other, cover);
    if (want.subscribed) this.#unsubscribe(want);
    const before = want.cover;
    if (want.leaving) {
      want.leaving = false;
      this.#forget(want);
      return;
    }
    want.comeWith(cover);
    if (before?.leaving) this.#finish(before);
    this.#nowArrives(want);
  }

  /** What came with a pattern comes no longer, but for what another one brings. */
  #uncover(want: Want): void {
    this.steps++;
    if (!this.#isKnown(want)) return;
    want.comeWith(undefined);
    const cover = this.#coverOf(want);
    if (cover !== undefined && !want.subscribed) want.comeWith(cover);
    if (cover?.confirmed) {
      this.#nowArrives(want);
      return;
    }
    if (want.since !== undefined) this.#missed.set(want.pattern, want);
    this.#change(want, () => {
      want.since = undefined;
    });
    if (want.cover === undefined && !want.subscribed) this.#subscribe(want);
  }

  #subscribe(want: Want): void {
    want.subscribed = true;
    this.#subscriptions++;
    this.#subscribed.set(want.pattern, want);
    this.#source.subscribe(want.pattern);
  }

  #unsubscribe(want: Want): void {
    want.subscribed = false;
    want.confirmed = false;
    want.swept = false;
    this.#subscriptions--;
    this.#subscribed.delete(want.pattern);
    this.#source.unsubscribe(want.pattern);
  }

  #nowArrives(want: Want): void {
    this.#missed.delete(want.pattern);
    this.#change(want, () => {
      want.refusal = undefined;
      want.since ??= { sequence: this.#sequence(), number: this.arrivals };
    });
    want.tell();
  }

  #change(want: Want, change: (want: Want) => void): void {
    const before = want.isPending;
    change(want);
    if (before !== want.isPending) this.#pending += before ? -1 : 1;
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
