import type { Cancel, Clock } from "../ports/clock.ts";

/** Something that waits for a time. */
export interface QueuedTimer {
  /** Whether it waits, and where: kept by {@linkcode TimerQueue}. */
  queueIndex: number;
  /** The time that it waits for. */
  dueMs: number;
  /** The time has come; it may wait for another one. */
  fire(nowMs: number): void;
}

/** What is not waited for. */
export const NOT_QUEUED = -1;

/** Times are kept with this error, so that many of them need one wake-up. */
const GRAIN_MS = 5;

/** Any number of timers on one timer: a binary heap, in which the earliest is first. */
export class TimerQueue {
  readonly #clock: Clock;
  readonly #heap: QueuedTimer[] = [];
  #cancel: Cancel | undefined;
  /** When the timer rings. */
  #setMs = Number.POSITIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Rings at a time, and not at another one that was set before. */
  set(alarm: QueuedTimer, dueMs: number): void {
    this.#move(alarm, Math.ceil(dueMs / GRAIN_MS) * GRAIN_MS);
    this.#wind();
  }

  clear(alarm: QueuedTimer): void {
    if (alarm.queueIndex === NOT_QUEUED) return;
    const at = alarm.queueIndex;
    alarm.queueIndex = NOT_QUEUED;
    const last = this.#heap.pop() as QueuedTimer;
    if (last !== alarm) this.#settle(last, at);
  }

  /** Lets go of the timer and of all timers. */
  stop(): void {
    for (const alarm of this.#heap.splice(0)) alarm.queueIndex = NOT_QUEUED;
    this.#cancel?.();
    this.#cancel = undefined;
    this.#setMs = Number.POSITIVE_INFINITY;
  }

  /** Sees to it that the timer rings no later than the first alarm is due; earlier does no harm. */
  #wind(): void {
    const first = this.#heap[0];
    if (first === undefined || first.dueMs >= this.#setMs) return;
    this.#cancel?.();
    this.#setMs = first.dueMs;
    const waitMs = Math.max(0, first.dueMs - this.#clock.nowMs());
    this.#cancel = this.#clock.after(waitMs, () => this.#fire());
  }

  #fire(): void {
    this.#cancel = undefined;
    this.#setMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.nowMs();
    // What is set anew while they ring is for another time: none may keep the others waiting.
    const due: QueuedTimer[] = [];
    for (let first = this.#heap[0]; first && first.dueMs <= nowMs; first = this.#heap[0]) {
      this.clear(first);
      due.push(first);
    }
    for (const alarm of due) if (alarm.queueIndex === NOT_QUEUED) alarm.fire(nowMs);
    this.#wind();
  }

  #move(alarm: QueuedTimer, dueMs: number): void {
    const at = alarm.queueIndex === NOT_QUEUED ? this.#heap.length : alarm.queueIndex;
    alarm.dueMs = dueMs;
    this.#settle(alarm, at);
  }

  /** Puts an alarm where it belongs, from this place up or down. */
  #settle(alarm: QueuedTimer, from: number): void {
    const heap = this.#heap;
    let at = from;
    for (; at > 0; ) {
      const above = (at - 1) >> 1;
      if (heap[above]!.dueMs <= alarm.dueMs) break;
      this.#place(heap[above]!, at);
      at = above;
    }
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && heap[below + 1]!.dueMs < heap[below]!.dueMs) below++;
      if (heap[below]!.dueMs >= alarm.dueMs) break;
      this.#place(heap[below]!, at);
      at = below;
    }
    this.#place(alarm, at);
  }

  #place(alarm: QueuedTimer, at: number): void {
    this.#heap[at] = alarm;
    alarm.queueIndex = at;
  }
}
