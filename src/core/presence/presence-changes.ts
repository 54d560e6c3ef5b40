import { principalKey } from "../access/grant.ts";
import { SteppedJob, type TurnShare } from "../timing/turn-share.ts";
import { isSameList, type PresenceEntry } from "./presence-entry.ts";
import type { PresentConnection } from "./presence-table.ts";

/** A change of an entry. If other patterns are denied than before, all patterns count as removed, and as added. */
export class EntryChange {
  readonly now: PresenceEntry | undefined;
  /** The entry with only the patterns that were added; `undefined`: none was. */
  readonly addition: PresenceEntry | undefined;
  readonly removed: readonly string[];

  constructor(before: PresenceEntry | undefined, now: PresenceEntry | undefined) {
    const isDeniedTheSame = isSameList(before?.denied ?? [], now?.denied ?? []);
    const subjects = without(now, isDeniedTheSame ? before : undefined);
    this.now = now;
    this.addition = now && subjects.length > 0 ? { ...now, subjects } : undefined;
    this.removed = without(before, isDeniedTheSame ? now : undefined);
  }

  /** The patterns of all subjects for which it matters. */
  get patterns(): readonly string[] {
    return [...(this.addition?.subjects ?? []), ...this.removed];
  }
}

/**
 * The connections that have changed. Users take turns, however many connections they have, and the changes that a
 * connection makes until its turn comes are one.
 */
export class PresenceChanges {
  readonly #turnShare: TurnShare;
  readonly #take: (connection: PresentConnection) => Generator<number, void, void>;
  readonly #ofUsers = new Map<string, Set<PresentConnection>>();

  /** @param take takes in how a connection has changed. */
  constructor(
    turnShare: TurnShare,
    take: (connection: PresentConnection) => Generator<number, void, void>,
  ) {
    this.#turnShare = turnShare;
    this.#take = take;
  }

  add(connection: PresentConnection): void {
    const { account, principal } = connection.entry;
    const user = `${account} ${principalKey(principal)}`;
    const waiting = this.#ofUsers.get(user);
    if (waiting !== undefined) {
      waiting.add(connection);
      return;
    }
    const own = new Set([connection]);
    this.#ofUsers.set(user, own);
    this.#turnShare.run(own, new SteppedJob(this.#takeAll(user, own)));
  }

  /** Forgets all changes that wait: their jobs were dropped. */
  clear(): void {
    this.#ofUsers.clear();
  }

  *#takeAll(user: string, own: Set<PresentConnection>): Generator<number, void, void> {
    try {
      for (const connection of own) {
        own.delete(connection);
        yield* this.#take(connection);
      }
    } finally {
      this.#ofUsers.delete(user);
      // The other connections of the user, if one threw.
      for (const connection of own) this.add(connection);
    }
  }
}

/** Returns the patterns of one entry that another one doesn't have. */
function without(one: PresenceEntry | undefined, other: PresenceEntry | undefined): string[] {
  const theirs = new Set(other?.subjects);
  return one?.subjects.filter((pattern) => !theirs.has(pattern)) ?? [];
}
