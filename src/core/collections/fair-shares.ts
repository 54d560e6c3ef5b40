/** Returns how much of what is left one user may have, so that something stays for others. */
export function fairShareOf(left: number): number {
  return left / 4;
}

/**
 * Counts what each key holds of something that there is only so much of, so that no key takes all of it. Remembers no more
 * keys than hold something.
 */
export class FairShares {
  readonly #held = new Map<string, number>();

  /** Whether a key may take one more: it has less than its share. @param left how many are left for all keys. */
  mayTake(key: string, left: number): boolean {
    return (this.#held.get(key) ?? 0) < fairShareOf(left);
  }

  take(key: string): void {
    this.#change(key, 1);
  }

  /** Gives back one that the key has taken. */
  give(key: string): void {
    this.#change(key, -1);
  }

  #change(key: string, by: number): void {
    const held = (this.#held.get(key) ?? 0) + by;
    if (held === 0) this.#held.delete(key);
    else this.#held.set(key, held);
  }
}
