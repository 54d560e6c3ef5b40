import type { Cancel, Clock } from "../ports/clock.ts";

/** A timer of a {@linkcode TimerQueue}: an object that is to be called at a time. */
export interface QueuedTimer {
  /** Its index in the queue, or `NOT_QUEUED`: kept by the queue. */
  queueIndex: number;
  /** The time at which it fires: kept by the queue. */
  dueMs: number;
  /** The time has come; the timer is out of the queue and may be set again. */
  fire(nowMs: number): void;
}

/** The index of a timer that is not set. */
export const NOT_QUEUED = -1;

/** Times are rounded up to this, so that many timers share one wake-up. */
const GRAIN_MS = 5;

/** Any number of timers on one timer of the clock: a binary heap, with the earliest first. */
export class TimerQueue {
  readonly #clock: Clock;
  readonly #heap: QueuedTimer[] = [];
  #cancel: Cancel | undefined;
  /** When the clock's timer fires. */
  #wakeMs = Number.POSITIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Sets a timer, or moves one that is set. */
  set(timer: QueuedTimer, dueMs: number): void {
    const index = timer.queueIndex === NOT_QUEUED ? this.#heap.length : timer.queueIndex;
    timer.dueMs = Math.ceil(dueMs / GRAIN_MS) * GRAIN_MS;
    this.#sift(timer, index);
    this.#wake();
  }

  /** Removes a timer, if it is set. */
  clear(timer: QueuedTimer): void {
    const index = timer.queueIndex;
    if (index === NOT_QUEUED) return;
    timer.queueIndex = NOT_QUEUED;
    const last = this.#heap.pop() as QueuedTimer;
    if (last !== timer) this.#sift(last, index);
  }

  /** Removes all timers, and the clock's. */
  stop(): void {
    for (const timer of this.#heap.splice(0)) timer.queueIndex = NOT_QUEUED;
    this.#cancel?.();
    this.#cancel = undefined;
    this.#wakeMs = Number.POSITIVE_INFINITY;
  }

  /** Sets the clock's timer, unless it fires early enough for the first timer; too early does no harm. */
  #wake(): void {
    const first = this.#heap[0];
    if (first === undefined || first.dueMs >= this.#wakeMs) return;
    this.#cancel?.();
    this.#wakeMs = first.dueMs;
    const waitMs = Math.max(0, first.dueMs - this.#clock.nowMs());
    this.#cancel = this.#clock.after(waitMs, () => this.#fire());
  }

  #fire(): void {
    this.#cancel = undefined;
    this.#wakeMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.nowMs();
    // Timers that are set again while others fire belong to the next time, so that all others get their turn.
    const due: QueuedTimer[] = [];
    for (let first = this.#heap[0]; first && first.dueMs <= nowMs; first = this.#heap[0]) {
      this.clear(first);
      due.push(first);
    }
    for (const timer of due) if (timer.queueIndex === NOT_QUEUED) timer.fire(nowMs);
    this.#wake();
  }

  /** Moves a timer from an index up or down to where it belongs. */
  #sift(timer: QueuedTimer, from: number): void {
    const heap = this.#heap;
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (heap[parent]!.dueMs <= timer.dueMs) break;
      this.#place(heap[parent]!, index);
      index = parent;
    }
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]!.dueMs < heap[child]!.dueMs) child++;
      if (heap[child]!.dueMs >= timer.dueMs) break;
      this.#place(heap[child]!, index);
      index = child;
    }
    this.#place(timer, index);
  }

  #place(timer: QueuedTimer, index: number): void {
    this.#heap[index] = timer;
    timer.queueIndex = index;
  }
}
