import type { Clock } from "../ports/clock.ts";

/** Bounds a log: one line for each kind of event in an interval, which says how many events it stands for. */
export class LogLimit<Kind> {
  readonly #clock: Pick<Clock, "nowMs">;
  readonly #intervalMs: number;
  readonly #last = new Map<Kind, { atMs: number; others: number }>();

  /** @param intervalMs the minimum time between two lines of the same kind. */
  constructor(clock: Pick<Clock, "nowMs">, intervalMs: number) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
  }

  /**
   * Counts an event.
   *
   * @returns how many events of the kind were not logged since the last line; `undefined` if this event
   * must not be logged either.
   */
  othersBefore(kind: Kind): number | undefined {
    const nowMs = this.#clock.nowMs();
    const last = this.#last.get(kind);
    if (last !== undefined && nowMs - last.atMs < this.#intervalMs) {
      last.others++;
      return undefined;
    }
    this.#last.set(kind, { atMs: nowMs, others: 0 });
    return last?.others ?? 0;
  }
}
