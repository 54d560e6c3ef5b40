import type { Cancel, Clock } from "../../../src/core/ports/clock.ts";

interface Pending {
  readonly dueMs: number;
  readonly order: number;
  readonly call: () => void;
}

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  /** What the wall shows when `nowMs()` is 0: 2026-01-01T00:00:00Z. */
  static readonly WALL_START_MS = 1_767_225_600_000;

  /** How many timers have rung. */
  rung = 0;
  #nowMs = 0;
  /** By how much the wall clock was set forward. */
  #setMs = 0;
  #order = 0;
  readonly #pending = new Set<Pending>();

  wallMs(): number {
    return ManualClock.WALL_START_MS + this.#nowMs + this.#setMs;
  }

  /** Somebody sets the wall clock forward, or back. */
  setWall(ms: number): void {
    this.#setMs += ms;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, call: () => void): Cancel {
    const timer = { dueMs: this.#nowMs + delayMs, order: this.#order++, call };
    this.#pending.add(timer);
    return () => void this.#pending.delete(timer);
  }

  soon(call: () => void): Cancel {
    return this.after(0, call);
  }

  /** How many timers are set: none may be left when everything is stopped. */
  get timers(): number {
    return this.#pending.size;
  }

  /** Moves on as a process that stands still sees it: nothing rings on the way. */
  pause(ms: number): void {
    this.#nowMs += ms;
  }

  /** One turn of the event loop: rings what is due now, and not what is set meanwhile. */
  turn(): void {
    const due = [...this.#pending].filter(({ dueMs }) => dueMs <= this.#nowMs);
    for (const timer of due.sort(
      (one, other) => one.dueMs - other.dueMs || one.order - other.order,
    )) {
      if (!this.#pending.delete(timer)) continue;
      this.rung++;
      timer.call();
    }
  }

  /** Moves on, and rings what falls due on the way, each at its own time. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (let next = this.#next(untilMs); next !== undefined; next = this.#next(untilMs)) {
      this.#pending.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      this.rung++;
      next.call();
    }
    this.#nowMs = untilMs;
  }

  #next(untilMs: number): Pending | undefined {
    return [...this.#pending]
      .filter((timer) => timer.dueMs <= untilMs)
      .sort((one, other) => one.dueMs - other.dueMs || one.order - other.order)[0];
  }
}
