import { CLIENT_ERROR_KINDS, type Meter } from "../core/metering/meter.ts";
import type { Cancel, Clock } from "../core/ports/clock.ts";
import type { DataFlow } from "../http/status.ts";

/** The time that rates are measured over; it may be up to one sample interval longer. */
const WINDOW_MS = 10_000;
const SAMPLE_INTERVAL_MS = 1000;
/** Go's zero time, which a Go program reads as "never". */
const NEVER = "0001-01-01T00:00:00Z";

/** The counters at one moment. */
interface Sample {
  readonly atMs: number;
  /** Live messages. */
  readonly received: number;
  /** All messages. */
  readonly messages: number;
  readonly deliveries: number;
  readonly bytes: number;
  readonly errors: number;
}

/** Measures the rates of a gateway from its meter. */
export class FlowMeter {
  readonly #clock: Clock;
  #meter: Meter | undefined;
  /** The oldest first. Empty when stopped. */
  #samples: Sample[] = [];
  #cancelTick: Cancel | undefined;
  /** The last time that a message was sent while none arrived: a replayed or a delayed one. Has the precision of a sample interval. */
  #lastSentMs: number | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Starts to measure; earlier counts don't matter. */
  start(meter: Meter): void {
    this.stop();
    this.#meter = meter;
    this.#tick(meter);
  }

  /** Stops measuring: all rates are 0. May be called twice. */
  stop(): void {
    this.#cancelTick?.();
    this.#cancelTick = undefined;
    this.#samples = [];
  }

  /**
   * Returns the rates over the last ten seconds, or since the start if that is more recent:
   *
   * - `messages_per_second`: messages taken from the source, live and replayed. The number of clients doesn't matter.
   * - `bytes_per_second`: bytes sent to all clients together.
   * - `error_rate`: errors of connected clients, as a percentage (0 to 100) of deliveries and those errors.
   * - `last_activity`: when a message last came or was sent, as RFC 3339.
   */
  metrics(): DataFlow {
    this.#noteSending();
    const times = [this.#meter?.lastMessageMs, this.#lastSentMs].filter((ms) => ms !== undefined);
    const last_activity = times.length === 0 ? NEVER : new Date(Math.max(...times)).toISOString();
    const [from] = this.#samples;
    if (this.#meter === undefined || from === undefined) {
      return { messages_per_second: 0, bytes_per_second: 0, error_rate: 0, last_activity };
    }
    const to = this.#read(this.#meter);
    // Otherwise one message right after the start would be thousands a second.
    const seconds = Math.max(to.atMs - from.atMs, SAMPLE_INTERVAL_MS) / 1000;
    const errors = to.errors - from.errors;
    const outcomes = to.deliveries - from.deliveries + errors;
    return {
      messages_per_second: (to.messages - from.messages) / seconds,
      bytes_per_second: (to.bytes - from.bytes) / seconds,
      error_rate: outcomes === 0 ? 0 : (errors / outcomes) * 100,
      last_activity,
    };
  }

  /** Notes the time if messages are sent that were replayed, or that arrived before the last sample. */
  #noteSending(): void {
    const last = this.#samples.at(-1);
    if (this.#meter === undefined || last === undefined) return;
    const { received, messages, deliveries } = this.#read(this.#meter);
    const live = received - last.received;
    const isReplaying = messages - last.messages > live;
    if (isReplaying || (deliveries > last.deliveries && live === 0)) {
      this.#lastSentMs = this.#clock.wallMs();
    }
  }

  #tick(meter: Meter): void {
    this.#noteSending();
    const sample = this.#read(meter);
    this.#samples.push(sample);
    // Keep the last sample that is as old as the window: the rates begin there.
    const next = this.#samples.findLastIndex(({ atMs }) => sample.atMs - atMs >= WINDOW_MS);
    if (next > 0) this.#samples.splice(0, next);
    this.#cancelTick = this.#clock.after(SAMPLE_INTERVAL_MS, () => this.#tick(meter));
  }

  #read(meter: Meter): Sample {
    return {
      atMs: this.#clock.nowMs(),
      received: meter.messagesReceived,
      messages: meter.messagesReceived + meter.messagesReplayed,
      deliveries: meter.ledger.sent,
      bytes: meter.ledger.bytesSent,
      errors: CLIENT_ERROR_KINDS.reduce(
        (errors, kind) => errors + (meter.errors.get(kind) ?? 0),
        0,
      ),
    };
  }
}
