import { Heap } from "./heap.ts";

/** The place of an item in a {@linkcode Ranking}. */
export interface Place<Item> {
  readonly item: Item;
  index: number;
}

/** Like {@linkcode Heap}, of items that may be in several of them. */
export class Ranking<Item> {
  readonly #heap: Heap<Place<Item>>;

  constructor(isAhead: (one: Item, other: Item) => boolean) {
    this.#heap = new Heap(
      (one, other) => isAhead(one.item, other.item),
      (place, index) => {
        place.index = index;
      },
    );
  }

  get first(): Item | undefined {
    return this.#heap.first?.item;
  }

  add(item: Item): Place<Item> {
    const place = { item, index: 0 };
    this.#heap.add(place);
    return place;
  }

  /** An item may be ahead of others than before. */
  moved({ index }: Place<Item>): void {
    this.#heap.moved(index);
  }

  remove({ index }: Place<Item>): void {
    this.#heap.remove(index);
  }
}
