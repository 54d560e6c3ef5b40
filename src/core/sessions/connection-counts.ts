import { ANONYMOUS, isSamePrincipal, type Principal, principalKey } from "../access/grant.ts";
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
  readonly #bySub = new Map<string, number>();
  /** What each connection is counted as. */
  readonly #counted = new Map<Connection, { readonly address: string; sub: string | undefined }>();

  constructor(limits: ConnectionCountLimits) {
    this.#limits = limits;
  }

  /** Returns which limit another connection would exceed, or `undefined`. */
  excessOf(address: string, principal: Principal): ExceededCount | undefined {
    const { maxClientsPerAddress } = this.#limits;
    if (isReached(this.#byAddress.get(address), maxClientsPerAddress)) return "address";
    return this.isFull(principal) ? "sub" : undefined;
  }

  /** Whether a principal may have no more connections. */
  isFull(principal: Principal): boolean {
    const sub = subOf(principal);
    if (sub === undefined) return false;
    return isReached(this.#bySub.get(sub), this.#limits.maxClientsPerSub);
  }

  add(connection: Connection, address: string): void {
    const { maxClientsPerAddress, maxClientsPerSub } = this.#limits;
    if (maxClientsPerAddress === undefined && maxClientsPerSub === undefined) return;
    const sub = subOf(connection.grant.terms.principal);
    this.#counted.set(connection, { address, sub });
    change(this.#byAddress, address, 1);
    if (sub !== undefined) change(this.#bySub, sub, 1);
  }

  /** A connection has another grant, perhaps of another principal. */
  identified(connection: Connection): void {
    const counted = this.#counted.get(connection);
    const sub = subOf(connection.grant.terms.principal);
    if (counted === undefined || counted.sub === sub) return;
    if (counted.sub !== undefined) change(this.#bySub, counted.sub, -1);
    if (sub !== undefined) change(this.#bySub, sub, 1);
    counted.sub = sub;
  }

  remove(connection: Connection): void {
    const counted = this.#counted.get(connection);
    if (counted === undefined) return;
    this.#counted.delete(connection);
    change(this.#byAddress, counted.address, -1);
    if (counted.sub !== undefined) change(this.#bySub, counted.sub, -1);
  }
}

function isReached(count: number | undefined, limit: number | undefined): boolean {
  return limit !== undefined && (count ?? 0) >= limit;
}

/** What a principal is counted as; `undefined`: anybody may be it. */
function subOf(principal: Principal): string | undefined {
  return isSamePrincipal(principal, ANONYMOUS) ? undefined : principalKey(principal);
}

function change(counts: Map<string, number>, key: string, by: number): void {
  const count = (counts.get(key) ?? 0) + by;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}
