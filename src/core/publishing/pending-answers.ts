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
const STOPPED: PublishFailure = {
  kind: "failed",
  code: "unavailable",
  message: "the gateway stops: whether the message arrived is unknown",
  retryable: true,
};

/** Waits for the answers of the source, each within its time. */
export class PendingAnswers {
  readonly #timers: TimerQueue;
  /** Ends the waits that are under way. */
  readonly #stops = new Set<() => void>();

  constructor(timers: TimerQueue) {
    this.#timers = timers;
  }

  /**
   * Waits for an answer.
   *
   * @param ask asks the source; its signal is aborted when no answer is waited for any more.
   * @param settled called once with the answer, unless the wait is cancelled before.
   * @param ended called once, however the wait ends, before `settled`.
   */
  wait<Answer>(
    untilMs: number,
    ask: (signal: AbortSignal) => Promise<Answer | PublishFailure>,
    { settled, ended }: { settled(answer: Answer | PublishFailure): void; ended(): void },
  ): PendingAnswer {
    const abort = new AbortController();
    let isOver = false;
    const end = (): boolean => {
      if (isOver) return false;
      isOver = true;
      this.#stops.delete(stop);
      this.#timers.clear(timer);
      ended();
      return true;
    };
    const settle = (answer: Answer | PublishFailure): void => {
      if (end()) settled(answer);
    };
    const giveUp = (failure: PublishFailure): void => {
      settle(failure);
      abort.abort();
    };
    const stop = (): void => giveUp(STOPPED);
    const timer: QueuedTimer = {
      queueIndex: NOT_QUEUED,
      dueMs: 0,
      fire: () => giveUp(TIMED_OUT),
    };
    this.#stops.add(stop);
    this.#timers.set(timer, untilMs);
    answerOf(ask, abort.signal).then(settle);
    return {
      cancel: () => {
        if (end()) abort.abort();
      },
    };
  }

  /** Ends all waits that are under way: none has an answer any more. */
  stop(): void {
    for (const stop of [...this.#stops]) stop();
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
