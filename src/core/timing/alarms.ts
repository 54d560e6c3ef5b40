import type { Cancel, Clock } from "../ports/clock.ts";

/** Something that waits for a time. */
export interface Alarm {
  /** Whether it waits, and where: kept by {@linkcode Alarms}. */
  alarmAt: number;
  /** The time that it waits for. */
  alarmMs: number;
  /** The time has come; it may wait for another one. */
  ring(nowMs: number): void;
}

/** What is not waited for. */
export const NOT_SET = -1;

/** Times are kept with this error, so that many of them need one wake-up. */
const GRAIN_MS = 5;

/** Any number of alarms on one timer: a binary heap, in which the earliest is first. */
export class Alarms {
  readonly #clock: Clock;
  readonly #heap: Alarm[] = [];
  #cancel: Cancel | undefined;
  /** When the timer rings. */
  #setMs = Number.POSITIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Rings at a time, and not at another one that was set before. */
  set(alarm: Alarm, dueMs: number): void {
    this.#move(alarm, Math.ceil(dueMs / GRAIN_MS) * GRAIN_MS);
    this.#wind();
  }

  clear(alarm: Alarm): void {
    if (alarm.alarmAt === NOT_SET) return;
    const at = alarm.alarmAt;
    alarm.alarmAt = NOT_SET;
    const last = this.#heap.pop() as Alarm;
    if (last !== alarm) this.#settle(last, at);
  }

  /** Lets go of the timer and of all alarms. */
  stop(): void {
    for (const alarm of this.#heap.splice(0)) alarm.alarmAt = NOT_SET;
    this.#cancel?.();
    this.#cancel = undefined;
    this.#setMs = Number.POSITIVE_INFINITY;
  }

  /** Sees to it that the timer rings no later than the first alarm is due; earlier does no harm. */
  #wind(): void {
    const first = this.#heap[0];
    if (first === undefined || first.alarmMs >= this.#setMs) return;
    this.#cancel?.();
    this.#setMs = first.alarmMs;
    const waitMs = Math.max(0, first.alarmMs - this.#clock.nowMs());
    this.#cancel = this.#clock.after(waitMs, () => this.#ring());
  }

  #ring(): void {
    this.#cancel = undefined;
    this.#setMs = Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.nowMs();
    // What is set anew while they ring is for another time: none may keep the others waiting.
    const due: Alarm[] = [];
    for (let first = this.#heap[0]; first && first.alarmMs <= nowMs; first = this.#heap[0]) {
      this.clear(first);
      due.push(first);
    }
    for (const alarm of due) if (alarm.alarmAt === NOT_SET) alarm.ring(nowMs);
    this.#wind();
  }

  #move(alarm: Alarm, dueMs: number): void {
    const at = alarm.alarmAt === NOT_SET ? this.#heap.length : alarm.alarmAt;
    alarm.alarmMs = dueMs;
    this.#settle(alarm, at);
  }

  /** Puts an alarm where it belongs, from this place up or down. */
  #settle(alarm: Alarm, from: number): void {
    const heap = this.#heap;
    let at = from;
    for (; at > 0; ) {
      const above = (at - 1) >> 1;
      if (heap[above]!.alarmMs <= alarm.alarmMs) break;
      this.#place(heap[above]!, at);
      at = above;
    }
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && heap[below + 1]!.alarmMs < heap[below]!.alarmMs) below++;
      if (heap[below]!.alarmMs >= alarm.alarmMs) break;
      this.#place(heap[below]!, at);
      at = below;
    }
    this.#place(alarm, at);
  }

  #place(alarm: Alarm, at: number): void {
    this.#heap[at] = alarm;
    alarm.alarmAt = at;
  }
}
