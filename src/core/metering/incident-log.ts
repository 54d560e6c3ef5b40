import { CLOSE, type CloseCause } from "../../protocol/close-codes.ts";
import type { Clock } from "../ports/clock.ts";
import type { Log } from "../ports/log.ts";
import type { SourceFault } from "../ports/source.ts";
import { LogLimit } from "../timing/log-limit.ts";
import type { DisconnectReason } from "./meter.ts";

/** The minimum time between two lines about the same cause, so that many bad clients don't fill the log. */
const INTERVAL_MS = 1000;

const FAULTS: Readonly<Record<SourceFault, string>> = {
  unreadable_headers:
    "The headers of a message can't be read, and clients get it without them: {detail} ({others} more since the last such line)",
  source_fault: "An internal error was caught: {detail} ({others} more since the last such line)",
  stream_refused: "JetStream refuses a request: {detail} ({others} more since the last such line)",
  publish_refused: "A message was not published: {detail} ({others} more since the last such line)",
};

/** Logs the clients that the server disconnects, and the faults of the source. */
export class IncidentLog {
  readonly #log: Log;
  readonly #limit: LogLimit<CloseCause | SourceFault>;

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#limit = new LogLimit(clock, INTERVAL_MS);
  }

  /** A connection ended. That a client leaves or the gateway stops is no incident. */
  ended(reason: DisconnectReason, client: string): void {
    if (reason in CLOSE && reason !== "going_away") this.#cut(reason as CloseCause, client);
  }

  fault(kind: SourceFault, detail: string): void {
    const others = this.#limit.othersBefore(kind);
    if (others === undefined) return;
    const level = kind === "source_fault" ? "error" : "warn";
    this.#log[level](FAULTS[kind], { event: kind, detail, others });
  }

  #cut(cause: CloseCause, client: string): void {
    const others = this.#limit.othersBefore(cause);
    if (others === undefined) return;
    const { code, reason } = CLOSE[cause];
    this.#log.warn(
      "Client {client} is disconnected with {code}: {reason} ({others} more since the last such line)",
      {
        event: "client_cut",
        client,
        code,
        reason,
        others,
        help: `spillway explain ${code}`,
      },
    );
  }
}
