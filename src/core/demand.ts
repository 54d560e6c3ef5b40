import type { Clock } from "./clock.ts";
import type { MessageSource } from "./source.ts";
import { carriesAll, exposedOf, hasWildcard } from "./subject.ts";
import { SubjectTrie } from "./subject-trie.ts";
import { type Arrival, isNeeded, type UpstreamRefusal, type Want, wantOf } from "./want.ts";

export interface DemandOptions {
  /** What the endpoint exposes. */
  readonly subjects: readonly string[];
  /** Whether to subscribe to all of that at once, or to what clients ask for. */
  readonly upstream: "demand" | "eager";
  /** What nobody wants any more is still subscribed to for so long, for clients that come back. */
  readonly upstreamLingerMs: number;
}

/**
 * What the gateway subscribes to at its source: what clients want, each pattern once, none that a
 * wider one covers, and each for a while longer than somebody wants it.
 */
export class Demand {
  readonly #options: DemandOptions;
  readonly #clock: Clock;
  readonly #source: Pick<MessageSource, "subscribe" | "unsubscribe">;
  readonly #sequence: () => number;
  readonly #wants = new Map<string, Want>();
  /** Those that the source is subscribed to, and may be: they cover narrower ones. */
  readonly #covers = new SubjectTrie<Want>();
  /** Those that do not come, or no longer, because something was refused: who has them misses messages. */
  readonly #missed = new Set<Want>();
  /** Those that nobody wants any more, kept until what they covered has arrived by itself. */
  readonly #leaving = new Set<Want>();
  /** How often something began to arrive. */
  arrivals = 0;

  /** @param sequence the number of the last message that has come. */
  constructor(
    options: DemandOptions,
    clock: Clock,
    source: Pick<MessageSource, "subscribe" | "unsubscribe">,
    sequence: () => number,
  ) {
    this.#options = options;
    this.#clock = clock;
    this.#source = source;
    this.#sequence = sequence;
    if (options.upstream === "eager") this.want(undefined);
  }

  /** Patterns that the source has not confirmed yet. */
  get pending(): number {
    let pending = 0;
    for (const { since, refusal } of this.#wants.values())
      if (since === undefined && refusal === undefined) pending++;
    return pending;
  }

  /** Patterns that the source is subscribed to. */
  get subscriptions(): number {
    let count = 0;
    for (const { subscribed } of this.#wants.values()) if (subscribed) count++;
    return count;
  }

  /**
   * Somebody wants these patterns, as far as they are exposed.
   *
   * @param subjects `undefined` for all that is exposed.
   * @param whenKnown called once messages of all of them arrive (at once, if they do), or once the
   * source says that it may not subscribe to one of them, with the reason.
   */
  want(
    subjects: readonly string[] | undefined,
    whenKnown: (refusal?: UpstreamRefusal) => void = () => {},
  ): void {
    const wants = this.#exposed(subjects).map((pattern) => this.#use(pattern));
    this.#await(wants, whenKnown);
  }

  /** Somebody no longer wants them. */
  release(subjects: readonly string[] | undefined): void {
    for (const pattern of this.#exposed(subjects)) {
      const want = this.#wants.get(pattern);
      if (want === undefined || --want.users > 0) continue;
      const { upstreamLingerMs } = this.#options;
      if (upstreamLingerMs === 0) {
        this.#drop(want);
        continue;
      }
      want.cancelLinger = this.#clock.after(upstreamLingerMs, () => {
        want.cancelLinger = undefined;
        this.#drop(want);
      });
    }
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
    want.confirmed = true;
    this.#covers.add(pattern, want);
    this.arrivals++;
    this.#nowArrives(want);
    this.#cover(want);
    for (const leaving of this.#leaving) this.#drop(leaving);
  }

  /** What would come again when a pattern arrives, after something was refused. */
  returningWith(pattern: string): string[] {
    const want = this.#wants.get(pattern);
    if (want === undefined || this.#missed.size === 0) return [];
    const missed = hasWildcard(pattern) ? [...this.#missed] : this.#missed.has(want) ? [want] : [];
    return missed.map((other) => other.pattern).filter((other) => carriesAll(pattern, other));
  }

  /**
   * The source may not subscribe to a pattern: it covers nothing, and what it covered goes by itself.
   *
   * @returns whether that is news.
   */
  refused(pattern: string, refusal: UpstreamRefusal): boolean {
    const want = this.#wants.get(pattern);
    if (want === undefined) return false;
    const isNews = want.refusal === undefined;
    want.refusal = refusal;
    want.confirmed = false;
    want.since = undefined;
    this.#missed.add(want);
    this.#covers.remove(pattern, want);
    if (hasWildcard(pattern)) this.#uncover(want);
    for (const tell of want.whenKnown.splice(0)) tell();
    return isNews;
  }

  /**
   * Why somebody does not get one of the patterns that they named; of who named none, why nothing of
   * what is exposed comes.
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
    for (const want of this.#wants.values()) {
      want.since = undefined;
      want.confirmed = false;
      want.refusal = undefined;
      if (want.subscribed) this.#covers.add(want.pattern, want);
    }
  }

  /** Lets go at once of what only lingers, and so of every timer. */
  stop(): void {
    for (const want of [...this.#wants.values()]) {
      if (want.cancelLinger === undefined) continue;
      want.cancelLinger();
      want.cancelLinger = undefined;
      this.#drop(want);
    }
  }

  /** One after the other: what has arrived may be cut off while another one is waited for. */
  #await(wants: readonly Want[], whenKnown: (refusal?: UpstreamRefusal) => void): void {
    const refused = wants.find(({ refusal }) => refusal !== undefined);
    const missing = wants.find(({ since }) => since === undefined);
    if (refused !== undefined) whenKnown(refused.refusal);
    else if (missing === undefined) whenKnown();
    else missing.whenKnown.push(() => this.#await(wants, whenKnown));
  }

  #exposed(subjects: readonly string[] | undefined): string[] {
    return exposedOf(this.#options.subjects, subjects);
  }

  #use(pattern: string): Want {
    let want = this.#wants.get(pattern);
    if (want === undefined) {
      want = wantOf(pattern);
      const cover = this.#coverOf(want);
      want.since = cover?.since;
      this.#wants.set(pattern, want);
      if (cover === undefined) this.#subscribe(want);
      return want;
    }
    want.users++;
    want.cancelLinger?.();
    want.cancelLinger = undefined;
    if (this.#leaving.delete(want) && want.confirmed) this.#cover(want);
    return want;
  }

  /** Lets a pattern go, once what only it covers has arrived by itself. */
  #drop(want: Want): void {
    if (isNeeded(want)) return;
    if (want.subscribed) {
      this.#leaving.add(want);
      for (const other of this.#dependentsOf(want)) {
        if (!other.subscribed && this.#coverOf(other, want) === undefined) this.#subscribe(other);
      }
      // The source may have confirmed at once, and all this be done.
      if (!this.#leaving.has(want) || this.#dependentsOf(want).length > 0) return;
      this.#unsubscribe(want);
    }
    this.#leaving.delete(want);
    this.#wants.delete(want.pattern);
    this.#missed.delete(want);
    for (const other of this.#leaving) this.#drop(other);
  }

  /** What would no longer arrive without a pattern. */
  #dependentsOf(want: Want): Want[] {
    if (!hasWildcard(want.pattern) || want.refusal !== undefined) return [];
    return [...this.#wants.values()].filter(
      (other) =>
        other !== want &&
        isNeeded(other) &&
        !other.confirmed &&
        carriesAll(want.pattern, other.pattern) &&
        !this.#coverOf(other, want)?.confirmed,
    );
  }

  /** A wider pattern that the source is subscribed to, a confirmed one if there is one. */
  #coverOf({ pattern }: Want, except?: Want): Want | undefined {
    let cover: Want | undefined;
    this.#covers.match(pattern, (want) => {
      if (want === except || want.pattern === pattern) return;
      if (cover?.confirmed || !carriesAll(want.pattern, pattern)) return;
      cover = want;
    });
    return cover;
  }

  /** What a pattern that arrives covers arrives with it, and need not be subscribed to. */
  #cover(want: Want): void {
    if (!hasWildcard(want.pattern)) return;
    for (const other of this.#wants.values()) {
      if (other === want || !carriesAll(want.pattern, other.pattern)) continue;
      if (isNeeded(want) && other.subscribed) this.#unsubscribe(other);
      this.#nowArrives(other);
    }
  }

  /** What came with a pattern comes no longer, but for what another one brings. */
  #uncover(want: Want): void {
    for (const other of this.#wants.values()) {
      if (other === want || other.confirmed || !carriesAll(want.pattern, other.pattern)) continue;
      const cover = this.#coverOf(other);
      if (cover?.confirmed) continue;
      if (other.since !== undefined) this.#missed.add(other);
      other.since = undefined;
      if (cover === undefined && !other.subscribed) this.#subscribe(other);
    }
  }

  #subscribe(want: Want): void {
    want.subscribed = true;
    this.#covers.add(want.pattern, want);
    this.#source.subscribe(want.pattern);
  }

  #unsubscribe(want: Want): void {
    want.subscribed = false;
    want.confirmed = false;
    this.#covers.remove(want.pattern, want);
    this.#source.unsubscribe(want.pattern);
  }

  #nowArrives(want: Want): void {
    want.refusal = undefined;
    this.#missed.delete(want);
    want.since ??= { sequence: this.#sequence(), number: this.arrivals };
    for (const tell of want.whenKnown.splice(0)) tell();
  }
}
