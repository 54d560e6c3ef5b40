import type { Log } from "../core/log.ts";
import type { SourceListener, SourceStatus } from "../core/source.ts";

/** How a NATS source stands. What is news is logged and told; the same again is not. */
export class Standing {
  readonly #log: Log;
  readonly #listener: SourceListener;
  #status: SourceStatus = { state: "connecting", reason: "not connected yet" };

  /** Tells nothing yet. */
  constructor(log: Log, listener: SourceListener) {
    this.#log = log;
    this.#listener = listener;
  }

  get status(): SourceStatus {
    return this.#status;
  }

  become(status: SourceStatus): void {
    if (JSON.stringify(status) === JSON.stringify(this.#status)) return;
    this.#status = status;
    if (status.state === "connected") {
      this.#log.info("Connected to NATS at {server}", {
        event: "source_connected",
        server: status.to,
      });
    } else if (status.state === "connecting") {
      this.#log.warn("Not connected to NATS: {reason}", {
        event: "source_lost",
        reason: status.reason,
      });
    }
    this.#listener.status(status);
  }
}
