import type { Ledger } from "./metering/ledger.ts";
import type { Session } from "./sessions/session.ts";

/** The part of the bound to which the queues are reduced by disconnecting clients. */
const RELIEVED = 0.9;
/** Below this part of the bound, new clients are accepted again. */
const CALM = 0.7;

/** Bounds the backlogs of all clients together: beyond the bound, the clients with the largest backlogs are disconnected. */
export class TotalQueueBound {
  readonly #maxBytes: number;
  readonly #ledger: Ledger;
  #pressed = false;

  constructor(maxBytes: number, ledger: Ledger) {
    this.#maxBytes = maxBytes;
    this.#ledger = ledger;
  }

  /** Whether the backlogs are so large that no new clients are accepted. */
  get overloaded(): boolean {
    if (this.#pressed && this.#ledger.queuedBytes < CALM * this.#maxBytes) this.#pressed = false;
    return this.#pressed;
  }

  /**
   * Ends the sessions with the largest backlogs, if all of them together are too large.
   *
   * @param sessions all that have a backlog, attached or detached.
   */
  relieve(sessions: Iterable<Session>): void {
    if (this.#ledger.queuedBytes <= this.#maxBytes) return;
    this.#pressed = true;
    const worst = [...sessions].sort((one, other) => other.queuedBytes - one.queuedBytes);
    for (const session of worst) {
      if (this.#ledger.queuedBytes <= RELIEVED * this.#maxBytes) return;
      session.end("overloaded");
    }
  }
}
