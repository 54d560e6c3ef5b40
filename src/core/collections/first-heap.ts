/** What a waiting value has superseded. */
export interface Supersession {
  /** The sequence of the first of these values. */
  readonly first: number;
  /** Whether the value no longer waits. */
  isOver: boolean;
}

/** Finds the least `first` of those that are not over: a binary heap that removes the others when they reach its top. */
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

  /** `undefined` when nothing waits. */
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
