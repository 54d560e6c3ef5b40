import type { Clock } from "./clock.ts";
import type { Log } from "./log.ts";
import type { DisconnectReason } from "./meter.ts";
import { CLOSE, type CloseCause } from "./socket.ts";

/** For each cause, one line in so long: many bad clients must not fill the log. */
const QUIET_MS = 1000;

/** Says which clients were cut, and why. */
export class IncidentLog {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #last = new Map<CloseCause, { atMs: number; unsaid: number }>();

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** A connection is over; that somebody went, or that we stop, is no incident. */
  ended(reason: DisconnectReason, client: string): void {
    if (reason in CLOSE && reason !== "going_away") this.#cut(reason as CloseCause, client);
  }

  #cut(cause: CloseCause, client: string): void {
    const nowMs = this.#clock.nowMs();
    const last = this.#last.get(cause);
    if (last !== undefined && nowMs - last.atMs < QUIET_MS) {
      last.unsaid++;
      return;
    }
    const others = last?.unsaid ?? 0;
    this.#last.set(cause, { atMs: nowMs, unsaid: 0 });
    const { code, reason } = CLOSE[cause];
    this.#log.warn(
      "Client {client} is cut with {code}: {reason} ({others} others since last said)",
      {
        event: "client_cut",
        client,
        code,
        reason,
        others,
      },
    );
  }
}
