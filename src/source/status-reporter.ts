import type { Log } from "../core/ports/log.ts";
import type { SourceListener, SourceStatus } from "../core/ports/source.ts";

/** How often the log says that NATS is still away. */
const REMINDER_MS = 60_000;
/** How many reasons are logged at once between two reminders. */
const MOST_REASONS = 5;

/** The reason while the first attempt to connect has neither failed nor succeeded. */
export const FIRST_ATTEMPT = "the first attempt to connect is under way";

/**
 * How a NATS source stands. What is news is told, and logged: a reason once for as long as NATS is away,
 * and once a minute that it still is.
 */
export class StatusReporter {
  readonly #log: Log;
  readonly #listener: SourceListener;
  readonly #reminderMs: number;
  #status: SourceStatus = { state: "connecting", reason: FIRST_ATTEMPT };
  #awaySinceMs: number | undefined;
  /** The reasons that were logged since NATS went away. */
  readonly #said = new Set<string>();
  #reasons = 0;
  #reminder: ReturnType<typeof setInterval> | undefined;

  /** Tells nothing yet. */
  constructor(log: Log, listener: SourceListener, reminderMs = REMINDER_MS) {
    this.#log = log;
    this.#listener = listener;
    this.#reminderMs = reminderMs;
  }

  get status(): SourceStatus {
    return this.#status;
  }

  become(status: SourceStatus): void {
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
    this.#log.warn("Still not connected to NATS, for {seconds} s now: {reason}", {
      event: "source_away",
      reason,
      seconds,
    });
  }
}
