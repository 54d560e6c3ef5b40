import type { Grant } from "../access/grant.ts";
import type { TokenCheck, TokenRefusal } from "../access/token-check.ts";
import type { Clock } from "../ports/clock.ts";
import type { Connection } from "../sessions/connection.ts";
import { NOT_QUEUED, type QueuedTimer, type TimerQueue } from "../timing/timer-queue.ts";

const UNAVAILABLE: TokenRefusal = {
  kind: "unavailable",
  message: "the token can't be checked now",
};

interface TokenChecksParts {
  readonly clock: Clock;
  readonly timers: TimerQueue;
  /** The most time that a check may take. */
  timeoutMs(): number;
}

/** The running checks of tokens: at most one for each connection, and each within its time. */
export class TokenChecks {
  readonly #parts: TokenChecksParts;
  readonly #running = new Map<Connection, RunningCheck>();

  constructor(parts: TokenChecksParts) {
    this.#parts = parts;
  }

  /** Whether a token of the connection is being checked. */
  has(connection: Connection): boolean {
    return this.#running.has(connection);
  }

  /** Begins to check a token. @param answer called once, unless the connection ends before. */
  begin(
    connection: Connection,
    check: TokenCheck,
    token: string,
    answer: (result: Grant | TokenRefusal) => void,
  ): void {
    const { clock, timers, timeoutMs } = this.#parts;
    const running: RunningCheck = new RunningCheck(() => finish(UNAVAILABLE));
    const finish = (result: Grant | TokenRefusal): void => {
      // It took too long, or the connection is over.
      if (this.#running.get(connection) !== running) return;
      this.forget(connection);
      answer(result);
    };
    this.#running.set(connection, running);
    timers.set(running, clock.nowMs() + timeoutMs());
    resultOf(check, token)
      .then(finish)
      // An error of ours must not end the process: the client reconnects.
      .catch(() => connection.end("going_away"));
  }

  /** Forgets the check of a connection's token; its result comes too late. */
  forget(connection: Connection): void {
    const running = this.#running.get(connection);
    if (running === undefined) return;
    this.#running.delete(connection);
    this.#parts.timers.clear(running);
  }

  stop(): void {
    this.#running.clear();
  }
}

/** Resolves with the result of a check, also if it throws or rejects. */
async function resultOf(check: TokenCheck, token: string): Promise<Grant | TokenRefusal> {
  try {
    return await check(token);
  } catch {
    return UNAVAILABLE;
  }
}

/** The timer that gives up the check of a token. */
class RunningCheck implements QueuedTimer {
  queueIndex = NOT_QUEUED;
  dueMs = 0;
  readonly #giveUp: () => void;

  constructor(giveUp: () => void) {
    this.#giveUp = giveUp;
  }

  fire(): void {
    this.#giveUp();
  }
}
