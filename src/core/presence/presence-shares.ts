import { userKey } from "../access/grant.ts";
import { fairShareOf } from "../collections/fair-shares.ts";
import type { SessionConnection } from "../sessions/session.ts";

/** The memory that watches take. */
interface Taken {
  /** Patterns that are watched. */
  views: number;
  /** Connections in them. */
  places: number;
}

interface Account extends Taken {
  readonly name: string;
  /** The number of its users who watch. */
  watchers: number;
}

/** A user who watches, or the anonymous clients of one address, and what the views that it pays for take. */
export interface Watcher extends Taken {
  readonly key: string;
  readonly account: Account;
  /** The number of its watches. */
  watches: number;
}

/** The most patterns that are watched. */
const MAX_VIEWS = 20_000;
/** The most places of connections in all of them: so many, or so many for each connection that may be present. */
const MIN_PLACES = 1_000_000;
const PLACES_PER_ENTRY = 10;
/** A watcher may have so much, if there is any, and more if its share is larger. */
const LEAST_VIEWS = 16;
const LEAST_PLACES = 1000;
/** An account may have so many times what is left: something stays for the clients of others. */
const ACCOUNT_SHARE = 3;

/** Shares out what all watches may take, so that neither a user nor an account takes all of it. */
export class PresenceShares {
  readonly #maxPlaces: number;
  readonly #all: Taken = { views: 0, places: 0 };
  readonly #accounts = new Map<string, Account>();
  readonly #watchers = new Map<string, Watcher>();

  /** @param maxEntries how many connections may be present. */
  constructor(maxEntries: number) {
    this.#maxPlaces = Math.max(MIN_PLACES, PLACES_PER_ENTRY * maxEntries);
  }

  /** A client begins a watch. @returns whose watch it is. */
  enter({ grant, addressGroup }: SessionConnection): Watcher {
    const { principal, account: name = "" } = grant.terms;
    const key = `${name} ${userKey(principal, addressGroup)}`;
    let watcher = this.#watchers.get(key);
    if (watcher === undefined) {
      const account = this.#accounts.get(name) ?? { name, watchers: 0, views: 0, places: 0 };
      this.#accounts.set(name, account);
      account.watchers++;
      watcher = { key, account, watches: 0, views: 0, places: 0 };
      this.#watchers.set(key, watcher);
    }
    watcher.watches++;
    return watcher;
  }

  /** A watch of a watcher, who pays for no view because of it, has ended. */
  leave(watcher: Watcher): void {
    const { key, account } = watcher;
    if (--watcher.watches > 0) return;
    this.#watchers.delete(key);
    if (--account.watchers === 0) this.#accounts.delete(account.name);
  }

  /** A watcher pays for more, or for less. */
  pay(watcher: Watcher, views: number, places: number): void {
    for (const taken of [watcher, watcher.account, this.#all]) {
      taken.views += views;
      taken.places += places;
    }
  }

  /** Whether a watcher may pay for a new view. */
  mayOpen({ views, account }: Watcher): boolean {
    const left = MAX_VIEWS - this.#all.views;
    return left > 0 && account.views < left * ACCOUNT_SHARE && isShare(views, LEAST_VIEWS, left);
  }

  /** Whether a watcher has no more places than it may. */
  mayHold({ places, account }: Watcher): boolean {
    const left = this.#maxPlaces - this.#all.places;
    return (
      left >= 0 && account.places <= left * ACCOUNT_SHARE && isShare(places, LEAST_PLACES, left)
    );
  }

  /** Whether a watcher may pay for a view for which another one of its account has paid. */
  mayTakeOver({ views, places }: Watcher, more: number): boolean {
    return (
      isShare(views, LEAST_VIEWS, MAX_VIEWS - this.#all.views) &&
      isShare(places + more, LEAST_PLACES, this.#maxPlaces - this.#all.places)
    );
  }
}

/** Whether a watcher that has so much may have more. */
function isShare(own: number, least: number, left: number): boolean {
  return own < least || own < fairShareOf(left);
}
