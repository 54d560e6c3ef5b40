import type { PresenceEndReason } from "../../protocol/server-frames.ts";
import type { Refusal } from "../access/refusal.ts";
import type { Clock } from "../ports/clock.ts";
import type { SessionConnection } from "../sessions/session.ts";
import { SubjectTrie } from "../subject/subject-trie.ts";
import { NOT_QUEUED, type TimerQueue } from "../timing/timer-queue.ts";
import { SteppedJob, type TurnShare } from "../timing/turn-share.ts";
import { EntryChange, PresenceChanges } from "./presence-changes.ts";
import { comparisonsWith, type PresenceEntry } from "./presence-entry.ts";
import { PresenceShares, type Watcher } from "./presence-shares.ts";
import type { PresentConnection } from "./presence-table.ts";
import { PresenceView, type PresenceWatch } from "./presence-view.ts";

export interface PresenceWatchOptions {
  /** The most watches of one client. */
  readonly maxPresenceWatches: number;
  /** The minimum time between two frames of a watch. */
  readonly presenceIntervalMs: number;
  /** A client with more unsent bytes is told later. */
  readonly highWaterBytes: number;
  /** The most connections of all gateways that count as present. */
  readonly maxPresenceEntries: number;
}

interface PresenceWatchesParts {
  readonly clock: Clock;
  readonly timers: TimerQueue;
  readonly turnShare: TurnShare;
  /** All connections that count as present. */
  present(): ReadonlySet<PresentConnection>;
  /** Whether what is known may be old. */
  isStale(): boolean;
}

/** A client's request to watch. */
export interface WatchRequest {
  readonly id: string;
  readonly subject: string;
  readonly wantsMembers: boolean;
}

/** Changes within this time are told together, also after a quiet time. */
const TOGETHER_MS = 20;

/** The watches of all clients. Those of the same pattern share a view. */
export class PresenceWatches {
  readonly #options: PresenceWatchOptions;
  readonly #parts: PresenceWatchesParts;
  readonly #byConnection = new Map<SessionConnection, Map<string, PresenceWatch>>();
  /** By account and pattern. */
  readonly #views = new Map<string, PresenceView>();
  readonly #viewOf = new Map<PresenceWatch, PresenceView>();
  /** By account, filed under their patterns. */
  readonly #byPattern = new Map<string, SubjectTrie<PresenceView>>();
  readonly #shares: PresenceShares;
  readonly #changes: PresenceChanges;

  constructor(options: PresenceWatchOptions, parts: PresenceWatchesParts) {
    this.#options = options;
    this.#parts = parts;
    this.#shares = new PresenceShares(options.maxPresenceEntries);
    this.#changes = new PresenceChanges(parts.turnShare, (changed) => this.#takeIn(changed));
  }

  /** The number of watches. */
  get size(): number {
    return this.#viewOf.size;
  }

  /**
   * Begins a watch, in place of the client's watch of the same name. The client is told when everybody was counted.
   *
   * @returns why not, or `undefined`.
   */
  begin(connection: SessionConnection, request: WatchRequest): Refusal | undefined {
    const { id, subject, wantsMembers } = request;
    const { account = "" } = connection.grant.terms;
    const key = viewKey(account, subject);
    const own = this.#byConnection.get(connection);
    const before = own?.get(id);
    const { maxPresenceWatches } = this.#options;
    if (before === undefined && (own?.size ?? 0) >= maxPresenceWatches) {
      const message = `a client has at most ${maxPresenceWatches} presence watches`;
      return { code: "too_many_subscriptions", message };
    }
    const watcher = this.#shares.enter(connection);
    const known = this.#views.get(key);
    if (known === undefined && !this.#shares.mayOpen(watcher)) {
      this.#shares.leave(watcher);
      const message = "too many subjects are watched for presence";
      return { code: "too_many_subscriptions", message, retryable: true };
    }
    const watch = { connection, watcher, id, wantsMembers };
    const view = known ?? this.#open(account, subject, watcher);
    view.add(watch);
    this.#viewOf.set(watch, view);
    if (own === undefined) this.#byConnection.set(connection, new Map([[id, watch]]));
    else own.set(id, watch);
    if (before !== undefined) this.#remove(before);
    if (view.counting === undefined) this.#greet(view, watch);
    // Counts in the turns of whoever waits for it.
    else this.#parts.turnShare.run(watcher, new SteppedJob(view.counting));
    return undefined;
  }

  /** Ends a watch of a client. @returns whether there was one. */
  stop(connection: SessionConnection, id: string): boolean {
    const watch = this.#byConnection.get(connection)?.get(id);
    if (watch === undefined) return false;
    this.#end(watch);
    return true;
  }

  /** Ends all watches of a client whose connection has ended. */
  forget(connection: SessionConnection): void {
    for (const watch of this.#byConnection.get(connection)?.values() ?? []) this.#remove(watch);
    this.#byConnection.delete(connection);
  }

  /** A client has another grant: ends the watches that it doesn't allow. */
  check(connection: SessionConnection): void {
    for (const watch of [...(this.#byConnection.get(connection)?.values() ?? [])]) {
      const { pattern } = this.#viewOf.get(watch) as PresenceView;
      if (!connection.grant.maySeePresence(pattern)) this.#end(watch, "forbidden");
    }
  }

  /** A connection is there, has another entry than before, or is gone. */
  changed(connection: PresentConnection): void {
    this.#changes.add(connection);
  }

  /** The gateway stops: the changes that wait are dropped with their jobs. */
  forgetChanges(): void {
    this.#changes.clear();
  }

  /** Whether what is known may be old has changed. */
  staleChanged(): void {
    this.#parts.turnShare.run(this, new SteppedJob(this.#tellAllSoon()));
  }

  *#tellAllSoon(): Generator<number, void, void> {
    for (const view of this.#views.values()) {
      this.#tellSoon(view);
      yield 1;
    }
  }

  /** Takes in how a connection has changed, some views in each turn of the event loop. */
  *#takeIn(connection: PresentConnection): Generator<number, void, void> {
    const { entry, shown } = connection;
    const now = this.#parts.present().has(connection) ? entry : undefined;
    connection.shown = now;
    const views = this.#byPattern.get(entry.account);
    if (views === undefined) return;
    const { addition, removed, patterns } = new EntryChange(shown, now);
    const affected = new Set<PresenceView>();
    for (const pattern of patterns) {
      for (const found of views.intersecting(pattern)) {
        for (const view of found ?? []) affected.add(view);
        yield 1;
      }
    }
    for (const view of affected) {
      if (!view.has(connection)) {
        if (addition !== undefined) yield this.#take(view, connection, addition);
      } else if (removed.length > 0) yield this.#take(view, connection, now);
      yield 1;
    }
  }

  /** @returns how many steps it took. */
  #take(
    view: PresenceView,
    connection: PresentConnection,
    entry: PresenceEntry | undefined,
  ): number {
    if (view.watches.size === 0) return 0;
    const { connections } = view;
    if (view.take(connection, entry)) this.#tellSoon(view);
    const places = view.connections - connections;
    this.#shares.pay(view.payer, 0, places);
    if (places > 0) this.#bound(view);
    return entry === undefined ? 1 : comparisonsWith(entry);
  }

  #open(account: string, pattern: string, payer: Watcher): PresenceView {
    const view = new PresenceView(account, pattern, payer, (due) => this.#tellInTurn(due));
    view.counting = this.#count(view);
    this.#shares.pay(payer, 1, 0);
    this.#views.set(viewKey(account, pattern), view);
    const others = this.#byPattern.get(account) ?? new SubjectTrie();
    this.#byPattern.set(account, others);
    others.add(pattern, view);
    return view;
  }

  /** Counts who is there: some in each turn of the event loop. */
  *#count(view: PresenceView): Generator<number, void, void> {
    for (const connection of this.#parts.present()) {
      const { shown } = connection;
      if (shown?.account === view.account && !view.has(connection)) {
        yield this.#take(view, connection, shown);
      }
      yield 1;
      if (view.watches.size === 0) return;
    }
    view.counting = undefined;
    view.isTelling = true;
    yield* this.#tell(view);
  }

  /** Ends watches of a view that takes too much of its payer's share. */
  #bound(view: PresenceView): void {
    while (view.watches.size > 0 && !this.#shares.mayHold(view.payer)) {
      const [oldest] = view.watches as Iterable<PresenceWatch>;
      this.#end(oldest as PresenceWatch, "overloaded");
    }
  }

  #greet(view: PresenceView, watch: PresenceWatch): void {
    const isStale = this.#parts.isStale();
    view.greet(watch, isStale, this.#mayWrite);
    if (view.isNews(isStale)) this.#tellSoon(view);
  }

  #tellSoon(view: PresenceView): void {
    if (view.counting !== undefined || view.isTelling || view.queueIndex !== NOT_QUEUED) return;
    const { clock, timers } = this.#parts;
    const nextMs = view.toldMs + this.#options.presenceIntervalMs;
    timers.set(view, Math.max(clock.nowMs() + TOGETHER_MS, nextMs));
  }

  /** Many views may be due at once. */
  #tellInTurn(view: PresenceView): void {
    view.isTelling = true;
    this.#parts.turnShare.run(view, new SteppedJob(this.#tell(view)));
  }

  *#tell(view: PresenceView): Generator<number, void, void> {
    try {
      const isStale = this.#parts.isStale();
      if (!view.isNews(isStale)) return;
      view.toldMs = this.#parts.clock.nowMs();
      yield* view.tellChanges(isStale, this.#mayWrite);
    } finally {
      view.isTelling = false;
      // Something may have changed on the way, and some clients may not read.
      if (view.watches.size > 0 && view.isNews(this.#parts.isStale())) this.#tellSoon(view);
    }
  }

  readonly #mayWrite = ({ writer }: SessionConnection): boolean =>
    writer.bufferedBytes <= this.#options.highWaterBytes;

  /** @param reason why the gateway ends it; `undefined`: the client does. */
  #end(watch: PresenceWatch, reason?: PresenceEndReason): void {
    this.#remove(watch);
    tellEnd(watch, reason);
  }

  #remove(watch: PresenceWatch): void {
    const view = this.#viewOf.get(watch);
    if (view === undefined) return;
    this.#drop(watch, view);
    if (view.watchers.has(view.payer)) return;
    const ended = this.#handOver(view);
    // A client may end all of its watches when it is told that one has ended.
    for (const one of ended) tellEnd(one, "overloaded");
  }

  /** The payer doesn't watch any more: the user that has watched for the longest time pays. @returns the watches of users who may not. */
  #handOver(view: PresenceView): readonly PresenceWatch[] {
    const ended: PresenceWatch[] = [];
    for (const next of view.watches) {
      const { watcher } = next;
      if (this.#shares.mayTakeOver(watcher, view.connections)) {
        this.#shares.pay(view.payer, -1, -view.connections);
        this.#shares.pay(watcher, 1, view.connections);
        view.payer = watcher;
        return ended;
      }
      this.#drop(next, view);
      ended.push(next);
    }
    this.#close(view);
    return ended;
  }

  #drop(watch: PresenceWatch, view: PresenceView): void {
    const { connection, id, watcher } = watch;
    this.#viewOf.delete(watch);
    view.remove(watch);
    this.#shares.leave(watcher);
    const own = this.#byConnection.get(connection);
    // Another one of the same name may have taken its place.
    if (own?.get(id) === watch) own.delete(id);
    if (own?.size === 0) this.#byConnection.delete(connection);
  }

  #close(view: PresenceView): void {
    const { account, pattern, payer, connections } = view;
    this.#shares.pay(payer, -1, -connections);
    this.#views.delete(viewKey(account, pattern));
    const others = this.#byPattern.get(account);
    others?.remove(pattern, view);
    if (others?.size === 0) this.#byPattern.delete(account);
    this.#parts.timers.clear(view);
  }
}

function viewKey(account: string, pattern: string): string {
  // No pattern has a space.
  return `${pattern} ${account}`;
}

function tellEnd({ connection, id }: PresenceWatch, reason?: PresenceEndReason): void {
  const ended = { type: "presence_ended", id } as const;
  connection.session?.tell(reason === undefined ? ended : { ...ended, reason });
}
