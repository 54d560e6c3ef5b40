/** A map whose values are not `undefined`, most often of one; see `SmallSet`. */
export class SmallMap<K, V> implements Iterable<readonly [K, V]> {
  #key: K | undefined;
  /** The only value; `undefined` if there is none, or if there were several. */
  #only: V | undefined;
  /** All values by their keys, once there were several. */
  #all: Map<K, V> | undefined;

  get size(): number {
    return this.#all?.size ?? (this.#only === undefined ? 0 : 1);
  }

  get(key: K): V | undefined {
    if (this.#all !== undefined) return this.#all.get(key);
    return this.#key === key ? this.#only : undefined;
  }

  set(key: K, value: V): void {
    if (this.#all !== undefined) this.#all.set(key, value);
    else if (this.#only === undefined || this.#key === key) {
      this.#key = key;
      this.#only = value;
    } else {
      this.#all = new Map<K, V>([[this.#key as K, this.#only]]).set(key, value);
      this.#key = undefined;
      this.#only = undefined;
    }
  }

  delete(key: K): void {
    if (this.#all !== undefined) {
      this.#all.delete(key);
      if (this.#all.size === 0) this.#all = undefined;
    } else if (this.#key === key) {
      this.#key = undefined;
      this.#only = undefined;
    }
  }

  values(): Iterable<V> {
    if (this.#all !== undefined) return this.#all.values();
    return this.#only === undefined ? [] : [this.#only];
  }

  [Symbol.iterator](): Iterator<readonly [K, V]> {
    if (this.#all !== undefined) return this.#all.entries();
    const only: [K, V][] = this.#only === undefined ? [] : [[this.#key as K, this.#only]];
    return only.values();
  }
}
