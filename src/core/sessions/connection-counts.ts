import { ANONYMOUS, isSamePrincipal, type Principal, principalKey } from "../access/grant.ts";
import { FairShares } from "../collections/fair-shares.ts";
import type { Connection } from "./connection.ts";

export interface ConnectionCountLimits {
  /** The most connections of one address; `undefined`: any number. */
  readonly maxClientsPerAddress?: number | undefined;
  /** The most connections of one principal; `undefined`: any number. Anonymous clients are not one principal here. */
  readonly maxClientsPerSub?: number | undefined;
}

/** The limit that a connection would exceed. */
export type ExceededCount = "address" | "sub";

/** Counts the open connections of each address and of each principal. */
export class ConnectionCounts {
  readonly #limits: ConnectionCountLimits;
  readonly #byAddress = new Map<string, number>();
  readonly #byPrincipal = new Map<string, number>();
  /** The connections of each address whose clients have shown no token, until their sockets are closed. */
  readonly #awaitingToken = new FairShares();
  /** The keys of the address and the principal under which each connection is counted. */
  readonly #counted = new Map<
    Connection,
    { readonly address: string; principal: string | undefined }
  >();

  constructor(limits: ConnectionCountLimits) {
    this.#limits = limits;
  }

  /** Returns which limit another connection would exceed, or `undefined`. */
  excessOf(address: string, principal: Principal): ExceededCount | undefined {
    const { maxClientsPerAddress } = this.#limits;
    if (isReached(this.#byAddress.get(address), maxClientsPerAddress)) return "address";
    return this.isFull(principal) ? "sub" : undefined;
  }

  /** Whether another client of an address may connect without a token. @param left how many may connect at all. */
  mayAwaitToken(address: string, left: number): boolean {
    return this.#awaitingToken.mayTake(address, left);
  }

  /** Whether a principal may have no more connections. */
  isFull(principal: Principal): boolean {
    const key = countedKeyOf(principal);
    if (key === undefined) return false;
    return isReached(this.#byPrincipal.get(key), this.#limits.maxClientsPerSub);
  }

  add(connection: Connection): void {
    if (connection.grant.awaitsToken) this.#awaitingToken.take(connection.addressGroup);
    const { maxClientsPerAddress, maxClientsPerSub } = this.#limits;
    if (maxClientsPerAddress === undefined && maxClientsPerSub === undefined) return;
    const principal = countedKeyOf(connection.grant.terms.principal);
    const { addressGroup: address } = connection;
    this.#counted.set(connection, { address, principal });
    change(this.#byAddress, address, 1);
    if (principal !== undefined) change(this.#byPrincipal, principal, 1);
  }

  /** The client of a connection has shown its first token. */
  identify(connection: Connection): void {
    this.#awaitingToken.give(connection.addressGroup);
  }

  /** Counts a connection for the principal that its client has shown; it had none before, and keeps this one. */
  recount(connection: Connection): void {
    const counted = this.#counted.get(connection);
    const principal = countedKeyOf(connection.grant.terms.principal);
    if (counted === undefined || counted.principal !== undefined || principal === undefined) return;
    change(this.#byPrincipal, principal, 1);
    counted.principal = principal;
  }

  /** A connection is not open any more. */
  remove(connection: Connection): void {
    const counted = this.#counted.get(connection);
    if (counted === undefined) return;
    this.#counted.delete(connection);
    change(this.#byAddress, counted.address, -1);
    if (counted.principal !== undefined) change(this.#byPrincipal, counted.principal, -1);
  }

  /** The socket of a connection is closed. */
  closed(connection: Connection): void {
    if (connection.grant.awaitsToken) this.#awaitingToken.give(connection.addressGroup);
  }
}

function isReached(count: number | undefined, limit: number | undefined): boolean {
  return limit !== undefined && (count ?? 0) >= limit;
}

/** Returns the key under which a principal is counted; `undefined`: it isn't, as any client may be it. */
function countedKeyOf(principal: Principal): string | undefined {
  return isSamePrincipal(principal, ANONYMOUS) ? undefined : principalKey(principal);
}

function change(counts: Map<string, number>, key: string, by: number): void {
  const count = (counts.get(key) ?? 0) + by;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}
