import type { Log } from "../core/ports/log.ts";
import type { SourceListener, SourceStatus } from "../core/ports/source.ts";

/** How often a reminder that NATS is away is logged. */
const REMINDER_MS = 60_000;
/** The most reasons that are logged between two reminders. */
const MOST_REASONS = 5;

/** The reason of the status during the first attempt to connect. */
export const FIRST_ATTEMPT = "the first attempt to connect is under way";

/**
 * The status of a NATS source. Reports and logs each change; while NATS is away, logs each reason once, and a reminder
 * every minute.
 */
export class StatusReporter {
  readonly #log: Log;
  readonly #listener: SourceListener;
  readonly #reminderMs: number;
  #status: SourceStatus = { state: "connecting", reason: FIRST_ATTEMPT };
  #awaySinceMs: number | undefined;
  /** The reasons that were logged since NATS is away. */
  readonly #said = new Set<string>();
  #reasons = 0;
  #reminder: ReturnType<typeof setInterval> | undefined;

  /** Reports nothing yet. */
  constructor(log: Log, listener: SourceListener, reminderMs = REMINDER_MS) {
    this.#log = log;
    this.#listener = listener;
    this.#reminderMs = reminderMs;
  }

  get status(): SourceStatus {
    return this.#status;
  }

  change(status: SourceStatus): void {
    if (JSON.stringify(status) === JSON.stringify(this.#status)) return;
    this.#status = status;
    if (status.state === "connecting") this.#isAway(status.reason);
    else this.#isBack();
    if (status.state === "connected") {
      this.#log.info("Connected to NATS at {server}", {
        event: "source_connected",
        server: status.to,
      });
    }
    this.#listener.status(status);
  }

  #isAway(reason: string): void {
    this.#awaySinceMs ??= performance.now();
    this.#reminder ??= setInterval(() => this.#remind(), this.#reminderMs);
    if (this.#said.has(reason) || this.#reasons >= MOST_REASONS) return;
    this.#said.add(reason);
    this.#reasons++;
    this.#log.warn("Not connected to NATS: {reason}", { event: "source_lost", reason });
  }

  #isBack(): void {
    clearInterval(this.#reminder);
    this.#reminder = undefined;
    this.#awaySinceMs = undefined;
    this.#said.clear();
    this.#reasons = 0;
  }

  #remind(): void {
    if (this.#status.state !== "connecting" || this.#awaySinceMs === undefined) return;
    const { reason } = this.#status;
    const seconds = Math.round((performance.now() - this.#awaySinceMs) / 1000);
    this.#said.clear();
    this.#said.add(reason);
    this.#reasons = 0;
    this.#log.warn("Still not connected to NATS after {seconds} s: {reason}", {
      event: "source_away",
      reason,
      seconds,
    });
  }
}
