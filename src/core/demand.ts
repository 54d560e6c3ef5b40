import type { Cancel, Clock } from "./clock.ts";
import type { MessageSource } from "./source.ts";
import { exposes, hasWildcard, subjectCovers, subjectIntersection } from "./subject.ts";
import { SubjectTrie } from "./subject-trie.ts";

export interface DemandOptions {
  /** What the endpoint exposes. */
  readonly subjects: readonly string[];
  /** Whether to subscribe to all of that at once, or to what clients ask for. */
  readonly upstream: "demand" | "eager";
  /** What nobody wants any more is still subscribed to for so long, for clients that come back. */
  readonly upstreamLingerMs: number;
}

/** A pattern that somebody wants, or wanted a moment ago. */
interface Want {
  readonly pattern: string;
  users: number;
  /** Whether the source is subscribed to the pattern itself; otherwise a wider one is, which covers it. */
  subscribed: boolean;
  /** Every message behind this sequence number has come; `undefined`: not yet. */
  sinceSequence: number | undefined;
  cancelLinger: Cancel | undefined;
  /** Why the source may not subscribe to it. */
  refusal: string | undefined;
  /** Told once, with the reason where the source may not. */
  whenKnown: ((refusal?: string) => void)[];
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
  readonly #subscribed = new SubjectTrie<Want>();

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
    for (const { sinceSequence, refusal } of this.#wants.values())
      if (sinceSequence === undefined && refusal === undefined) pending++;
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
    whenKnown: (refusal?: string) => void = () => {},
  ): void {
    const wants = this.#exposed(subjects).map((pattern) => this.#use(pattern));
    const waiting = new Set(wants.filter(({ sinceSequence }) => sinceSequence === undefined));
    if (waiting.size === 0) whenKnown();
    const refused = wants.find(({ refusal }) => refusal !== undefined);
    if (refused !== undefined) whenKnown(refused.refusal);
    for (const want of waiting) {
      want.whenKnown.push((refusal) => {
        waiting.delete(want);
        if (refusal !== undefined || waiting.size === 0) whenKnown(refusal);
      });
    }
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

  /** Behind which sequence number every message of the patterns has come; `Infinity`: none yet. */
  completeSince(subjects: readonly string[] | undefined): number {
    const since = this.#exposed(subjects).map(
      (pattern) => this.#wants.get(pattern)?.sinceSequence ?? Number.POSITIVE_INFINITY,
    );
    return Math.max(0, ...since);
  }

  /** The source says that a pattern's messages arrive from now on. */
  arrives(pattern: string): void {
    const want = this.#wants.get(pattern);
    if (want === undefined) return;
    this.#nowArrives(want);
    if (!hasWildcard(pattern)) return;
    for (const other of this.#wants.values()) {
      if (other === want || !subjectCovers(pattern, other.pattern)) continue;
      this.#nowArrives(other);
      if (other.subscribed) this.#unsubscribe(other);
    }
  }

  /** The source may not subscribe to a pattern. */
  refused(pattern: string, reason: string): void {
    const want = this.#wants.get(pattern);
    if (want === undefined) return;
    want.refusal = reason;
    want.sinceSequence = undefined;
    for (const tell of want.whenKnown.splice(0)) tell(reason);
  }

  /** Why the source may not subscribe to what the endpoint exposes, of which somebody wants all. */
  get refusal(): string | undefined {
    for (const pattern of this.#options.subjects) {
      const refusal = this.#wants.get(pattern)?.refusal;
      if (refusal !== undefined) return `NATS refuses a subscription to ${pattern}: ${refusal}`;
    }
    return undefined;
  }

  /** The source was cut off: what was published meanwhile has not come. */
  cutOff(): void {
    for (const want of this.#wants.values()) {
      want.sinceSequence = undefined;
      want.refusal = undefined;
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

  #exposed(subjects: readonly string[] | undefined): string[] {
    if (subjects === undefined) return [...this.#options.subjects];
    const exposed = this.#options.subjects.flatMap((pattern) =>
      subjects
        .filter((subject) => exposes(pattern, subject))
        .flatMap((subject) => subjectIntersection(pattern, subject) ?? []),
    );
    return [...new Set(exposed)];
  }

  #use(pattern: string): Want {
    let want = this.#wants.get(pattern);
    if (want === undefined) {
      const cover = this.#coverOf(pattern);
      want = {
        pattern,
        users: 0,
        subscribed: false,
        sinceSequence: cover?.sinceSequence,
        cancelLinger: undefined,
        refusal: undefined,
        whenKnown: [],
      };
      this.#wants.set(pattern, want);
      if (cover === undefined) this.#subscribe(want);
    }
    want.users++;
    want.cancelLinger?.();
    want.cancelLinger = undefined;
    return want;
  }

  /** Lets a pattern go: what only it covered is subscribed to before it is given up. */
  #drop(want: Want): void {
    if (want.users > 0) return;
    if (!want.subscribed) {
      this.#wants.delete(want.pattern);
      return;
    }
    const orphans = hasWildcard(want.pattern) ? this.#coveredOnlyBy(want) : [];
    if (orphans.length === 0) {
      this.#unsubscribe(want);
      this.#wants.delete(want.pattern);
      return;
    }
    let waiting = orphans.length;
    for (const orphan of orphans) {
      orphan.whenKnown.push(() => {
        if (--waiting === 0 && want.users === 0 && want.cancelLinger === undefined)
          this.#drop(want);
      });
      this.#subscribe(orphan);
    }
  }

  #coveredOnlyBy(want: Want): Want[] {
    this.#subscribed.remove(want.pattern, want);
    const orphans = [...this.#wants.values()].filter(
      (other) => !other.subscribed && this.#coverOf(other.pattern) === undefined,
    );
    this.#subscribed.add(want.pattern, want);
    return orphans;
  }

  /** A wider pattern that the source is subscribed to. */
  #coverOf(pattern: string): Want | undefined {
    let cover: Want | undefined;
    this.#subscribed.match(pattern, (want) => {
      if (want.pattern !== pattern && subjectCovers(want.pattern, pattern)) cover ??= want;
    });
    return cover;
  }

  #subscribe(want: Want): void {
    want.subscribed = true;
    this.#subscribed.add(want.pattern, want);
    this.#source.subscribe(want.pattern);
  }

  #unsubscribe(want: Want): void {
    want.subscribed = false;
    this.#subscribed.remove(want.pattern, want);
    this.#source.unsubscribe(want.pattern);
  }

  #nowArrives(want: Want): void {
    want.refusal = undefined;
    want.sinceSequence ??= this.#sequence();
    for (const tell of want.whenKnown.splice(0)) tell();
  }
}
