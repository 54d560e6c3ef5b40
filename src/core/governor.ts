import type { Ledger } from "./metering/ledger.ts";
import type { Session } from "./sessions/session.ts";

/** After clients were shed, so much of the bound may be in use. */
const RELIEVED = 0.9;
/** With less than so much of the bound in use, new clients may come in again. */
const CALM = 0.7;

/** Bounds what waits for all clients together: past it, the worst are disconnected first. */
export class Governor {
  readonly #maxBytes: number;
  readonly #ledger: Ledger;
  #pressed = false;

  constructor(maxBytes: number, ledger: Ledger) {
    this.#maxBytes = maxBytes;
    this.#ledger = ledger;
  }

  /** Whether so much waits that no new clients should come in. */
  get overloaded(): boolean {
    if (this.#pressed && this.#ledger.queuedBytes < CALM * this.#maxBytes) this.#pressed = false;
    return this.#pressed;
  }

  /**
   * Disconnects those with the longest queues, where the bound is passed.
   *
   * @param parked those without a connection, whose sessions end as well.
   */
  relieve(queued: ReadonlySet<Session>, parked: Iterable<Session> = []): void {
    if (this.#ledger.queuedBytes <= this.#maxBytes) return;
    this.#pressed = true;
    const worst = [...queued, ...parked].sort((one, other) => other.queuedBytes - one.queuedBytes);
    for (const client of worst) {
      if (this.#ledger.queuedBytes <= RELIEVED * this.#maxBytes) return;
      client.end("overloaded");
    }
  }
}
