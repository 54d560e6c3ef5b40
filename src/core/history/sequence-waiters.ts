import type { Clock } from "../ports/clock.ts";

/** How long to wait. */
export interface WaitLimits {
  readonly timeoutMs: number;
  /** Ends the wait early. */
  readonly signal: AbortSignal;
}

interface Waiter {
  readonly sequence: number;
  wake(): void;
}

/** Wakes callers when a counter reaches the sequence that each of them waits for. */
export class SequenceWaiters {
  readonly #clock: Clock;
  readonly #waiters = new Set<Waiter>();
  /** No waiter waits for a smaller sequence. */
  #least = Number.POSITIVE_INFINITY;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How many callers wait. */
  get size(): number {
    return this.#waiters.size;
  }

  /** Resolves when the sequence is reached, with `wakeAll`, after the timeout, or when the signal is aborted. */
  wait(sequence: number, { timeoutMs, signal }: WaitLimits): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiters.delete(waiter);
        signal.removeEventListener("abort", wake);
        cancel();
        resolve();
      };
      const cancel = this.#clock.after(timeoutMs, wake);
      signal.addEventListener("abort", wake);
      const waiter = { sequence, wake };
      this.#waiters.add(waiter);
      this.#least = Math.min(this.#least, sequence);
    });
  }

  /** Wakes everybody who waits for this sequence or an earlier one. */
  reach(sequence: number): void {
    if (sequence < this.#least) return;
    for (const waiter of [...this.#waiters]) if (waiter.sequence <= sequence) waiter.wake();
    this.#least = Number.POSITIVE_INFINITY;
    for (const waiter of this.#waiters) this.#least = Math.min(this.#least, waiter.sequence);
  }

  /** Wakes everybody. */
  wakeAll(): void {
    this.reach(Number.POSITIVE_INFINITY);
  }
}
