/** The values that a waiting value has superseded. */
export interface Supersession {
  /** The sequence of the first of these values. */
  readonly first: number;
  /** Whether the waiting value is gone. */
  isOver: boolean;
}

/**
 * Finds the least `first` of those that are not over. A binary heap, which removes the ones that are over only
 * when they reach its top.
 */
export class FirstHeap {
  readonly #heap: Supersession[] = [];

  add(supersession: Supersession): void {
    const heap = this.#heap;
    let at = heap.push(supersession) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (heap[above]!.first <= supersession.first) break;
      heap[at] = heap[above]!;
      at = above;
    }
    heap[at] = supersession;
  }

  /** The least `first`; `undefined` if nothing waits. */
  get first(): number | undefined {
    while (this.#heap[0]?.isOver) this.#removeTop();
    return this.#heap[0]?.first;
  }

  #removeTop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && heap[below + 1]!.first < heap[below]!.first) below++;
      if (heap[below]!.first >= last.first) break;
      heap[at] = heap[below]!;
      at = below;
    }
    heap[at] = last;
  }
}
