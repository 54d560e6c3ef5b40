import type { Clock } from "../ports/clock.ts";

/** The earliest time at which a client is told to come back. */
export const SOONEST_RETURN_MS = 1000;
/** How many clients come back in a second: they are spread over as long as that takes. */
const CLIENTS_PER_SECOND = 1000;
/** The shortest time that two or more clients are spread over. */
const SHORTEST_SPREAD_MS = 1000;
/** Clients that are sent away within this time come back together. */
const TOGETHER_MS = 10_000;

/** Why clients were sent away, and how many since when. */
interface Departures {
  sinceMs: number;
  count: number;
}

/**
 * Tells clients when to come back, so that they don't all come back at the same moment: the more of
 * them there are, the longer they are spread over.
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
   * In how many milliseconds a client may come back that is sent away now.
   *
   * @param cause those that are sent away for the same cause come back together.
   * @param others how many more must come back.
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

  /** In how many milliseconds one of so many clients may come back. */
  among(clients: number): number {
    if (clients < 2) return SOONEST_RETURN_MS;
    const spreadMs = Math.max(SHORTEST_SPREAD_MS, (clients * 1000) / CLIENTS_PER_SECOND);
    return SOONEST_RETURN_MS + Math.floor(this.#random() * spreadMs);
  }
}
