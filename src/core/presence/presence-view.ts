import { ANONYMOUS, isSamePrincipal, type Principal, principalKey } from "../access/grant.ts";
import type { SessionConnection } from "../sessions/session.ts";
import { NOT_QUEUED, type QueuedTimer } from "../timing/timer-queue.ts";
import { isOn, type PresenceEntry } from "./presence-entry.ts";
import { firstOf, PresenceNews } from "./presence-news.ts";
import type { Watcher } from "./presence-shares.ts";
import type { PresentConnection } from "./presence-table.ts";

/** About how many steps it takes to tell a watch something. */
const TELL_STEPS = 8;

/** A client that wants to know who is on a subject. */
export interface PresenceWatch {
  readonly connection: SessionConnection;
  readonly watcher: Watcher;
  /** The client's name for it. */
  readonly id: string;
  /** Whether it wants names, or only the number. */
  readonly wantsMembers: boolean;
}

/** A person with one connection or several on the subject. */
interface Member {
  readonly principal: Principal;
  connections: number;
}

/**
 * Holds who is on the subjects of one pattern, for all clients that watch it: they get the same changes, collected for an
 * interval. Clients without a name count each for itself, and are in no list.
 */
export class PresenceView implements QueuedTimer {
  queueIndex = NOT_QUEUED;
  dueMs = 0;
  readonly account: string;
  readonly pattern: string;
  /** The user that the view counts for: one of those who watch. */
  payer: Watcher;
  /** Counts everybody who is there; `undefined`: this was done. */
  counting: Generator<number, void, void> | undefined;
  /** Whether it tells its watches something, or waits for its turn to do so. */
  isTelling = false;
  /** The time at which its watches were told last. */
  toldMs = Number.NEGATIVE_INFINITY;
  readonly fire: () => void;
  readonly #watches = new Set<PresenceWatch>();
  /** The number of watches of each user, the one that has watched for the longest time first. */
  readonly #watchers = new Map<Watcher, number>();
  /** The watches that need the present state: they are new, or didn't read the last changes. */
  readonly #outdated = new Set<PresenceWatch>();
  readonly #on = new Set<PresentConnection>();
  /** By the key of the principal, in the order in which they came. */
  readonly #members = new Map<string, Member>();
  #anonymous = 0;
  /** The members that came and left since the watches were told, by the key of the principal. */
  readonly #joined = new Map<string, Principal>();
  readonly #left = new Map<string, Principal>();
  /** The state that was told last. */
  #told = { count: 0, isStale: false };

  /** @param due called when the watches are to be told. */
  constructor(account: string, pattern: string, payer: Watcher, due: (view: PresenceView) => void) {
    this.account = account;
    this.pattern = pattern;
    this.payer = payer;
    this.fire = () => due(this);
  }

  /** The number of connections that are on it. */
  get connections(): number {
    return this.#on.size;
  }

  /** The number of people who are on it. */
  get count(): number {
    return this.#members.size + this.#anonymous;
  }

  /** The watches, the oldest first. */
  get watches(): ReadonlySet<PresenceWatch> {
    return this.#watches;
  }

  /** The users who watch, the one that has watched for the longest time first. */
  get watchers(): ReadonlyMap<Watcher, number> {
    return this.#watchers;
  }

  add(watch: PresenceWatch): void {
    const { watcher } = watch;
    this.#watches.add(watch);
    this.#outdated.add(watch);
    this.#watchers.set(watcher, (this.#watchers.get(watcher) ?? 0) + 1);
  }

  remove(watch: PresenceWatch): void {
    if (!this.#watches.delete(watch)) return;
    const { watcher } = watch;
    this.#outdated.delete(watch);
    const left = (this.#watchers.get(watcher) as number) - 1;
    if (left === 0) this.#watchers.delete(watcher);
    else this.#watchers.set(watcher, left);
  }

  has(connection: PresentConnection): boolean {
    return this.#on.has(connection);
  }

  /**
   * Takes a connection in, or leaves it out.
   *
   * @param entry decides it; `undefined`: the connection is gone.
   * @returns whether something changed.
   */
  take(connection: PresentConnection, entry: PresenceEntry | undefined): boolean {
    if (entry === undefined || !isOn(entry, this.pattern)) return this.#leave(connection);
    if (this.#on.has(connection)) return false;
    this.#on.add(connection);
    const { principal } = connection.entry;
    if (isSamePrincipal(principal, ANONYMOUS)) {
      this.#anonymous++;
      return true;
    }
    const key = principalKey(principal);
    const member = this.#members.get(key);
    if (member !== undefined) {
      member.connections++;
      return false;
    }
    this.#members.set(key, { principal, connections: 1 });
    if (!this.#left.delete(key)) this.#joined.set(key, principal);
    return true;
  }

  #leave(connection: PresentConnection): boolean {
    if (!this.#on.delete(connection)) return false;
    const { principal } = connection.entry;
    if (isSamePrincipal(principal, ANONYMOUS)) {
      this.#anonymous--;
      return true;
    }
    const key = principalKey(principal);
    const member = this.#members.get(key) as Member;
    if (--member.connections > 0) return false;
    this.#members.delete(key);
    if (!this.#joined.delete(key)) this.#left.set(key, principal);
    return true;
  }

  /** Whether a watch has to be told something. */
  isNews(isStale: boolean): boolean {
    return this.#outdated.size > 0 || this.#isOther(isStale) || this.#hasChanges;
  }

  /** Tells a new watch the present state, if its client reads what it is sent. */
  greet(watch: PresenceWatch, isStale: boolean, mayWrite: MayWrite): void {
    const { connection, id, wantsMembers } = watch;
    if (!mayWrite(connection)) return;
    // A change that the others weren't told yet may be undone, and they are never told: this watch is told everything again.
    if (!this.#isOther(isStale) && !this.#hasChanges) this.#outdated.delete(watch);
    this.#news(isStale).tell(connection, id, wantsMembers ? "all" : "nobody");
  }

  /**
   * Tells the watches what has changed since they were told last, and outdated ones everything. What changes on the way
   * is told the next time.
   *
   * @param isStale whether the state may be old.
   * @returns yields after each watch about how many steps that took.
   */
  *tellChanges(isStale: boolean, mayWrite: MayWrite): Generator<number, void, void> {
    const isOther = this.#isOther(isStale);
    const hasChanges = this.#hasChanges;
    const news = this.#news(isStale);
    this.settle(isStale);
    // Without the watches that begin on the way: these know more.
    for (const watch of [...this.#watches]) {
      if (!this.#watches.has(watch)) continue;
      const { connection, id, wantsMembers } = watch;
      if (!mayWrite(connection)) this.#outdated.add(watch);
      else if (this.#outdated.delete(watch)) {
        news.tell(connection, id, wantsMembers ? "all" : "nobody");
      } else if (wantsMembers && hasChanges) news.tell(connection, id, "changed");
      else if (isOther) news.tell(connection, id, "nobody");
      yield TELL_STEPS;
    }
  }

  /** The watches that are not outdated know the present state. */
  settle(isStale: boolean): void {
    this.#joined.clear();
    this.#left.clear();
    this.#told = { count: this.count, isStale };
  }

  #news(isStale: boolean): PresenceNews {
    const { pattern, count } = this;
    return new PresenceNews({
      ...{ pattern, count, isStale },
      members: firstOf(this.#members.values()).map(({ principal }) => principal),
      joined: firstOf(this.#joined.values()),
      left: firstOf(this.#left.values()),
    });
  }

  get #hasChanges(): boolean {
    return this.#joined.size + this.#left.size > 0;
  }

  #isOther(isStale: boolean): boolean {
    return this.#told.count !== this.count || this.#told.isStale !== isStale;
  }
}

/** Whether a client reads what it is sent. */
type MayWrite = (connection: SessionConnection) => boolean;
