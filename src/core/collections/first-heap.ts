import { Heap } from "./heap.ts";

/** The values that a waiting value has superseded. */
export interface Supersession {
  /** The sequence of the first of these values. */
  readonly first: number;
  /** Whether the waiting value is gone. */
  isOver: boolean;
}

/** Finds the least `first` of those that are not over, which are removed only when they are first. */
export class FirstHeap {
  readonly #heap = new Heap<Supersession>((one, other) => one.first < other.first);

  add(supersession: Supersession): void {
    this.#heap.add(supersession);
  }

  /** The least `first`; `undefined` if nothing waits. */
  get first(): number | undefined {
    while (this.#heap.first?.isOver) this.#heap.remove(0);
    return this.#heap.first?.first;
  }
}
