import type { Clock } from "./clock.ts";
import type { Log } from "./log.ts";
import type { DisconnectReason } from "./meter.ts";
import { CLOSE, type CloseCause } from "./socket.ts";
import type { SourceFault } from "./source.ts";

/** For each cause, one line in so long: many bad clients must not fill the log. */
const QUIET_MS = 1000;

const FAULTS: Readonly<Record<SourceFault, string>> = {
  unreadable_headers:
    "A message has no headers for clients: {detail} ({others} others since last said)",
  source_fault: "An error of the gateway was contained: {detail} ({others} others since last said)",
  stream_refused: "A stream can't be had: {detail} ({others} others since last said)",
  publish_refused: "A message was not published: {detail} ({others} others since last said)",
};

/** Says which clients were cut and what went wrong with the source, and why. */
export class IncidentLog {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #last = new Map<CloseCause | SourceFault, { atMs: number; unsaid: number }>();

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  /** A connection is over; that somebody went, or that we stop, is no incident. */
  ended(reason: DisconnectReason, client: string): void {
    if (reason in CLOSE && reason !== "going_away") this.#cut(reason as CloseCause, client);
  }

  /** Something went wrong with the source. */
  fault(kind: SourceFault, detail: string): void {
    const others = this.#unsaidBefore(kind);
    if (others === undefined) return;
    const level = kind === "source_fault" ? "error" : "warn";
    this.#log[level](FAULTS[kind], { event: kind, detail, others });
  }

  #cut(cause: CloseCause, client: string): void {
    const others = this.#unsaidBefore(cause);
    if (others === undefined) return;
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

  /** How many of a kind were not said since the last one was; `undefined`: this one isn't either. */
  #unsaidBefore(kind: CloseCause | SourceFault): number | undefined {
    const nowMs = this.#clock.nowMs();
    const last = this.#last.get(kind);
    if (last !== undefined && nowMs - last.atMs < QUIET_MS) {
      last.unsaid++;
      return undefined;
    }
    this.#last.set(kind, { atMs: nowMs, unsaid: 0 });
    return last?.unsaid ?? 0;
  }
}
