import { reasonOf } from "../ports/errors.ts";
import type { PublishFailure } from "../ports/source.ts";
import { NOT_QUEUED, type QueuedTimer, type TimerQueue } from "../timing/timer-queue.ts";

/** A message that waits for its answer. */
export interface PendingAnswer {
  /** Nobody waits for the answer any more. */
  cancel(): void;
}

const TIMED_OUT: PublishFailure = {
  kind: "failed",
  code: "timeout",
  message: "there is no answer in time",
  retryable: true,
};

/** Waits for the answers of the source, each within its time, and counts the messages that wait. */
export class PendingAnswers {
  readonly #timers: TimerQueue;
  #count = 0;
  #bytes = 0;

  constructor(timers: TimerQueue) {
    this.#timers = timers;
  }

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Waits for an answer.
   *
   * @param ask asks the source; its signal is aborted when no answer is waited for any more.
   * @param settled called once with the answer, unless the wait is cancelled before.
   * @param ended called once, however the wait ends, before `settled`.
   */
  wait<Answer>(
    { bytes, untilMs }: { readonly bytes: number; readonly untilMs: number },
    ask: (signal: AbortSignal) => Promise<Answer | PublishFailure>,
    { settled, ended }: { settled(answer: Answer | PublishFailure): void; ended(): void },
  ): PendingAnswer {
    const abort = new AbortController();
    let isOver = false;
    const end = (): boolean => {
      if (isOver) return false;
      isOver = true;
      this.#count--;
      this.#bytes -= bytes;
      this.#timers.clear(timer);
      ended();
      return true;
    };
    const settle = (answer: Answer | PublishFailure): void => {
      if (end()) settled(answer);
    };
    const timer: QueuedTimer = {
      queueIndex: NOT_QUEUED,
      dueMs: 0,
      fire: () => {
        settle(TIMED_OUT);
        abort.abort();
      },
    };
    this.#count++;
    this.#bytes += bytes;
    this.#timers.set(timer, untilMs);
    answerOf(ask, abort.signal).then(settle);
    return {
      cancel: () => {
        if (end()) abort.abort();
      },
    };
  }
}

/** A source of a host may throw or reject, against the port's contract. */
async function answerOf<Answer>(
  ask: (signal: AbortSignal) => Promise<Answer | PublishFailure>,
  signal: AbortSignal,
): Promise<Answer | PublishFailure> {
  try {
    return await ask(signal);
  } catch (thrown) {
    return { kind: "failed", code: "unavailable", message: reasonOf(thrown), retryable: true };
  }
}
