import type { Ledger } from "./metering/ledger.ts";
import type { Session } from "./sessions/session.ts";

/** After clients were disconnected, no more than this part of the bound is in use. */
const RELIEVED = 0.9;
/** If less than this part of the bound is in use, new clients are let in again. */
const CALM = 0.7;

/** Bounds what waits for all clients together: if it is too much, the clients with the largest backlogs are disconnected. */
export class Governor {
  readonly #maxBytes: number;
  readonly #ledger: Ledger;
  #pressed = false;

  constructor(maxBytes: number, ledger: Ledger) {
    this.#maxBytes = maxBytes;
    this.#ledger = ledger;
  }

  /** Whether so much waits that no new clients are let in. */
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
