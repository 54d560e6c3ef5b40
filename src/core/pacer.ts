import type { Cancel, Clock } from "./clock.ts";
import type { Envelope } from "./envelope.ts";
import type { DropReason, Meter } from "./meter.ts";

/**
 * Slows one subscription down: in each window of 1/`maxRate` seconds, the latest message of each
 * subject. What waits here counts as queued, what was superseded as conflated.
 */
export class Pacer {
  readonly #windowMs: number;
  readonly #clock: Clock;
  readonly #meter: Meter;
  readonly #release: (envelopes: readonly Envelope[]) => void;
  /** By subject, in the order of the messages, so that cursors only grow. */
  readonly #waiting = new Map<string, Envelope>();
  #openedMs = Number.NEGATIVE_INFINITY;
  #cancel: Cancel | undefined;

  /** @param release takes what is due; its messages are no longer counted here. */
  constructor(
    maxRate: number,
    clock: Clock,
    meter: Meter,
    release: (envelopes: readonly Envelope[]) => void,
  ) {
    this.#windowMs = 1000 / maxRate;
    this.#clock = clock;
    this.#meter = meter;
    this.#release = release;
  }

  add(envelope: Envelope): void {
    const before = this.#waiting.get(envelope.subject);
    if (before !== undefined) {
      this.#waiting.delete(envelope.subject);
      this.#count(before, -1);
      this.#meter.conflated++;
    }
    this.#waiting.set(envelope.subject, before ? envelope.superseding(before) : envelope);
    this.#count(envelope, 1);
    if (this.#cancel !== undefined) return;
    const waitMs = this.#openedMs + this.#windowMs - this.#clock.nowMs();
    const open = (): void => this.#open();
    this.#cancel = waitMs > 0 ? this.#clock.after(waitMs, open) : this.#clock.soon(open);
  }

  /** Forgets what waits, and the timer. */
  clear(reason: DropReason): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#meter.dropped[reason] += this.#waiting.size;
    for (const envelope of this.#waiting.values()) this.#count(envelope, -1);
    this.#waiting.clear();
  }

  #open(): void {
    this.#cancel = undefined;
    this.#openedMs = this.#clock.nowMs();
    const due = [...this.#waiting.values()];
    for (const envelope of due) this.#count(envelope, -1);
    this.#waiting.clear();
    this.#release(due);
  }

  #count({ byteLength }: Envelope, sign: 1 | -1): void {
    this.#meter.queued += sign;
    this.#meter.queuedBytes += sign * byteLength;
  }
}
