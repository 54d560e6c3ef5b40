import { type Place, Ranking } from "./collections/ranking.ts";
import type { Ledger } from "./metering/ledger.ts";
import type { BacklogRegistry } from "./sessions/backlog-registry.ts";
import type { Session } from "./sessions/session.ts";

/** The part of the bound to which the queues are reduced by disconnecting clients. */
const RELIEVED = 0.9;
/** Below this part of the bound, new clients are accepted again. */
const CALM = 0.7;

/**
 * Bounds the backlogs of all clients together: beyond the bound, the user whose backlogs are the largest together loses
 * sessions, the largest one first.
 */
export class TotalQueueBound {
  readonly #options: { readonly maxTotalQueueBytes: number };
  readonly #ledger: Ledger;
  #pressed = false;

  constructor(options: { readonly maxTotalQueueBytes: number }, ledger: Ledger) {
    this.#options = options;
    this.#ledger = ledger;
  }

  /** Whether the backlogs are so large that no new clients are accepted. */
  get overloaded(): boolean {
    if (this.#pressed && this.#ledger.queuedBytes < CALM * this.#options.maxTotalQueueBytes)
      this.#pressed = false;
    return this.#pressed;
  }

  /**
   * Ends sessions, if the backlogs of all of them together are too large.
   *
   * @param registries for each account, of all sessions that have a backlog, attached or detached.
   */
  relieve(registries: Iterable<{ readonly backlogs: Pick<BacklogRegistry, "all"> }>): void {
    if (this.#ledger.queuedBytes <= this.#options.maxTotalQueueBytes) return;
    this.#pressed = true;
    const users = new Ranking<User>((one, other) => one.bytes > other.bytes);
    for (const { backlogs } of registries) {
      for (const user of usersOf(backlogs.all)) user.place = users.add(user);
    }
    while (this.#ledger.queuedBytes > RELIEVED * this.#options.maxTotalQueueBytes) {
      const user = users.first;
      const largest = user?.sessions.pop();
      if (user?.place === undefined || largest === undefined) return;
      user.bytes -= largest.bytes;
      users.moved(user.place);
      largest.session.end("overloaded");
    }
  }
}

/** A user, or the anonymous clients of one address. */
interface User {
  /** The sessions that have a backlog; the largest one is the last one. */
  readonly sessions: { readonly session: Session; readonly bytes: number }[];
  bytes: number;
  place?: Place<User>;
}

/** Returns the users of the sessions of an account. */
function usersOf(all: Iterable<Session>): Iterable<User> {
  const users = new Map<string, User>();
  const sessions = Array.from(all, (session) => ({ session, bytes: session.queuedBytes }));
  for (const one of sessions.sort((one, other) => one.bytes - other.bytes)) {
    const { userKey } = one.session;
    const user = users.get(userKey) ?? { sessions: [], bytes: 0 };
    users.set(userKey, user);
    user.sessions.push(one);
    user.bytes += one.bytes;
  }
  return users.values();
}
