/** Something that waits and stands for others, of which the first has this sequence. */
export interface Standing {
  readonly first: number;
  /** Whether it waits no longer. */
  isOver: boolean;
}

/** Finds the least `first` of all that wait: a binary heap, out of which what is over goes when it comes to the top. */
export class FirstHeap {
  readonly #heap: Standing[] = [];

  add(standing: Standing): void {
    const heap = this.#heap;
    let at = heap.push(standing) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (heap[above]!.first <= standing.first) break;
      heap[at] = heap[above]!;
      at = above;
    }
    heap[at] = standing;
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
