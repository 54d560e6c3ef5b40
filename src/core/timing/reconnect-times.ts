import type { Clock } from "../ports/clock.ts";

/** The shortest time after which a client may reconnect. */
export const SOONEST_RETURN_MS = 1000;
/** How many clients may reconnect in a second: more of them are spread over more seconds. */
const CLIENTS_PER_SECOND = 1000;
/** The shortest time over which clients are spread. */
const SHORTEST_SPREAD_MS = 1000;
/** Clients that are disconnected for one cause within this time reconnect together. */
const TOGETHER_MS = 10_000;

/** How many clients were disconnected for one cause, and since when. */
interface Departures {
  sinceMs: number;
  count: number;
}

/**
 * Spreads the times at which disconnected clients reconnect: the more clients, the longer the time. Otherwise
 * all of them would reconnect in the same moment.
 */
export class ReturnTimes {
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #departures = new Map<string, Departures>();

  /** @param random from 0 to 1. */
  constructor(clock: Clock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  /**
   * Returns after how many milliseconds a client that is disconnected now may reconnect.
   *
   * @param cause clients that are disconnected for the same cause reconnect together.
   * @param others how many more clients have to reconnect.
   */
  afterMs(cause: string, others = 0): number {
    const nowMs = this.#clock.nowMs();
    let departures = this.#departures.get(cause);
    if (departures === undefined || nowMs - departures.sinceMs > TOGETHER_MS) {
      departures = { sinceMs: nowMs, count: 0 };
      this.#departures.set(cause, departures);
    }
    departures.count++;
    return this.among(departures.count + others);
  }

  /** Returns after how many milliseconds one of so many clients may reconnect. */
  among(clients: number): number {
    if (clients < 2) return SOONEST_RETURN_MS;
    const spreadMs = Math.max(SHORTEST_SPREAD_MS, (clients * 1000) / CLIENTS_PER_SECOND);
    return SOONEST_RETURN_MS + Math.floor(this.#random() * spreadMs);
  }
}
