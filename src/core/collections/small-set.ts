const NONE: readonly never[] = [];

/**
 * A set of values that are not `undefined`, most often of one. A `Set` takes 200 bytes even if it is empty, and there may
 * be several of these sets for each client; this one takes 40 until a second value is added.
 */
export class SmallSet<T> implements Iterable<T> {
  /** The only value; `undefined` if there is none, or if there were several. */
  #only: T | undefined;
  /** All values, once there were several. */
  #all: Set<T> | undefined;

  get size(): number {
    return this.#all?.size ?? (this.#only === undefined ? 0 : 1);
  }

  has(value: T): boolean {
    return this.#all?.has(value) ?? this.#only === value;
  }

  add(value: T): void {
    if (this.#all !== undefined) this.#all.add(value);
    else if (this.#only === undefined) this.#only = value;
    else if (this.#only !== value) {
      this.#all = new Set([this.#only, value]);
      this.#only = undefined;
    }
  }

  /** @returns whether the value was there. */
  delete(value: T): boolean {
    if (this.#all !== undefined) {
      const wasThere = this.#all.delete(value);
      if (this.#all.size === 0) this.#all = undefined;
      return wasThere;
    }
    if (this.#only === undefined || this.#only !== value) return false;
    this.#only = undefined;
    return true;
  }

  /** Calls with each value, also with those that are added meanwhile to several others. */
  each(call: (value: T) => void): void {
    if (this.#all !== undefined) for (const value of this.#all) call(value);
    else if (this.#only !== undefined) call(this.#only);
  }

  [Symbol.iterator](): Iterator<T> {
    if (this.#all !== undefined) return this.#all.values();
    return (this.#only === undefined ? NONE : [this.#only]).values();
  }
}
