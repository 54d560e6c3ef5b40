/** Any number of items, with the one that is ahead of all others first: a binary heap. */
export class Heap<Item> {
  readonly #isAhead: (one: Item, other: Item) => boolean;
  readonly #placed: (item: Item, index: number) => void;
  readonly #items: Item[] = [];

  /** @param placed called when an item has another index. */
  constructor(
    isAhead: (one: Item, other: Item) => boolean,
    placed: (item: Item, index: number) => void = () => {},
  ) {
    this.#isAhead = isAhead;
    this.#placed = placed;
  }

  get first(): Item | undefined {
    return this.#items[0];
  }

  add(item: Item): void {
    this.#sift(item, this.#items.length);
  }

  /** The item at an index may be ahead of others than before. */
  moved(index: number): void {
    this.#sift(this.#items[index]!, index);
  }

  /** Removes the item at an index. */
  remove(index: number): void {
    const last = this.#items.pop()!;
    if (index < this.#items.length) this.#sift(last, index);
  }

  /** Removes all items, and returns them. */
  clear(): Item[] {
    return this.#items.splice(0);
  }

  /** Moves an item from an index up or down to where it belongs. */
  #sift(item: Item, from: number): void {
    const items = this.#items;
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.#isAhead(item, items[parent]!)) break;
      this.#put(items[parent]!, index);
      index = parent;
    }
    for (;;) {
      let child = 2 * index + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && this.#isAhead(items[child + 1]!, items[child]!)) child++;
      if (!this.#isAhead(items[child]!, item)) break;
      this.#put(items[child]!, index);
      index = child;
    }
    this.#put(item, index);
  }

  #put(item: Item, index: number): void {
    this.#items[index] = item;
    this.#placed(item, index);
  }
}
