import type { Clock } from "../ports/clock.ts";

/** The shortest time after which a client may reconnect. */
export const SOONEST_RETURN_MS = 1000;
/** The pace at which clients may reconnect: one after this time, in milliseconds. */
const MS_PER_CLIENT = 1;
/** The shortest time over which clients are spread. */
const SHORTEST_SPREAD_MS = 1000;

/**
 * Spreads the times at which disconnected clients reconnect: the more clients, the longer the time. Otherwise
 * all of them would reconnect in the same moment.
 */
export class ReturnTimes {
  readonly #clock: Pick<Clock, "nowMs">;
  readonly #random: () => number;
  /** The time at which the next client may reconnect, by the cause for which clients were disconnected. */
  readonly #nextMs = new Map<string, number>();

  /** @param random from 0 to 1. */
  constructor(clock: Pick<Clock, "nowMs">, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  /**
   * Returns after how many milliseconds a client that is disconnected now may reconnect: after those that were
   * disconnected before it, as nobody knows yet how many follow.
   *
   * @param cause clients that are disconnected for the same cause reconnect together.
   * @param others how many more clients have to reconnect, if that is known: then, all are spread over the whole time.
   */
  afterMs(cause: string, others = 0): number {
    const nowMs = this.#clock.nowMs();
    const nextMs = Math.max(nowMs, this.#nextMs.get(cause) ?? 0);
    this.#nextMs.set(cause, nextMs + MS_PER_CLIENT);
    const before = (nextMs - nowMs) / MS_PER_CLIENT;
    if (others > 0) return this.among(before + 1 + others);
    return Math.floor(nextMs - nowMs) + this.among(before < 1 ? 1 : 2);
  }

  /** Returns after how many milliseconds one of so many clients may reconnect. */
  among(clients: number): number {
    if (clients < 2) return SOONEST_RETURN_MS;
    const spreadMs = Math.max(SHORTEST_SPREAD_MS, clients * MS_PER_CLIENT);
    return SOONEST_RETURN_MS + Math.floor(this.#random() * spreadMs);
  }
}
