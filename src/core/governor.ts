import type { Meter } from "./metering/meter.ts";
import type { Session } from "./sessions/session.ts";

/** After clients were shed, so much of the bound may be in use. */
const RELIEVED = 0.9;
/** With less than so much of the bound in use, new clients may come in again. */
const CALM = 0.7;

/** Bounds what waits for all clients together: past it, the worst are disconnected first. */
export class Governor {
  readonly #maxBytes: number;
  readonly #meter: Meter;
  #pressed = false;

  constructor(maxBytes: number, meter: Meter) {
    this.#maxBytes = maxBytes;
    this.#meter = meter;
  }

  /** Whether so much waits that no new clients should come in. */
  get overloaded(): boolean {
    if (this.#pressed && this.#meter.queuedBytes < CALM * this.#maxBytes) this.#pressed = false;
    return this.#pressed;
  }

  /**
   * Disconnects those with the longest queues, where the bound is passed.
   *
   * @param parked those without a connection, whose sessions end as well.
   */
  relieve(queued: ReadonlySet<Session>, parked: Iterable<Session> = []): void {
    if (this.#meter.queuedBytes <= this.#maxBytes) return;
    this.#pressed = true;
    const worst = [...queued, ...parked].sort((one, other) => other.queuedBytes - one.queuedBytes);
    for (const client of worst) {
      if (this.#meter.queuedBytes <= RELIEVED * this.#maxBytes) return;
      client.end("overloaded");
    }
  }
}
