import { Heap } from "../collections/heap.ts";
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

/** Any number of timers on one timer of the clock. */
export class TimerQueue {
  readonly #clock: Clock;
  readonly #heap = new Heap<QueuedTimer>(
    (one, other) => one.dueMs < other.dueMs,
    (timer, index) => {
      timer.queueIndex = index;
    },
  );
  #cancel: Cancel | undefined;
  /** When the clock's timer fires. */
  #wakeMs = Number.POSITIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Sets a timer, or moves one that is set. */
  set(timer: QueuedTimer, dueMs: number): void {
    timer.dueMs = Math.ceil(dueMs / GRAIN_MS) * GRAIN_MS;
    if (timer.queueIndex === NOT_QUEUED) this.#heap.add(timer);
    else this.#heap.moved(timer.queueIndex);
    this.#wake();
  }

  /** Removes a timer, if it is set. */
  clear(timer: QueuedTimer): void {
    const index = timer.queueIndex;
    if (index === NOT_QUEUED) return;
    timer.queueIndex = NOT_QUEUED;
    this.#heap.remove(index);
  }

  /** Removes all timers, and the clock's. */
  stop(): void {
    for (const timer of this.#heap.clear()) timer.queueIndex = NOT_QUEUED;
    this.#cancel?.();
    this.#cancel = undefined;
    this.#wakeMs = Number.POSITIVE_INFINITY;
  }

  /** Sets the clock's timer, unless it fires early enough for the first timer; too early does no harm. */
  #wake(): void {
    const { first } = this.#heap;
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
    for (;;) {
      const { first } = this.#heap;
      if (first === undefined || first.dueMs > nowMs) break;
      this.clear(first);
      due.push(first);
    }
    let fired = 0;
    try {
      while (fired < due.length) {
        const timer = due[fired++]!;
        if (timer.queueIndex === NOT_QUEUED) timer.fire(nowMs);
      }
    } finally {
      // After an exception, the others fire at the next wake-up.
      for (const timer of due.slice(fired)) {
        if (timer.queueIndex === NOT_QUEUED) this.set(timer, timer.dueMs);
      }
      this.#wake();
    }
  }
}
