import type { Cancel, Clock } from "./clock.ts";
import type { Envelope } from "./envelope.ts";
import type { Meter } from "./meter.ts";
import type { QueueBounds } from "./policy.ts";

/** No timer can be set to more than 24.8 days: a longer one rings at once. */
const MOST_WINDOW_MS = 2 ** 31 - 1;

/**
 * Slows one subscription down: in each window of 1/`maxRate` seconds, the latest message of each
 * subject. What waits here counts as queued, what was superseded as conflated. More than fits into a
 * queue does not wait: then the window is over at once.
 */
export class Pacer {
  readonly #windowMs: number;
  readonly #bounds: QueueBounds;
  readonly #clock: Clock;
  readonly #meter: Meter;
  readonly #release: (envelopes: readonly Envelope[]) => void;
  /** By subject, in the order of the messages, so that cursors only grow. */
  readonly #waiting = new Map<string, Envelope>();
  #bytes = 0;
  #openedMs = Number.NEGATIVE_INFINITY;
  #cancel: Cancel | undefined;

  /** @param release takes what is due; its messages are no longer counted here. */
  constructor(
    maxRate: number,
    bounds: QueueBounds,
    clock: Clock,
    meter: Meter,
    release: (envelopes: readonly Envelope[]) => void,
  ) {
    this.#windowMs = Math.min(1000 / maxRate, MOST_WINDOW_MS);
    this.#bounds = bounds;
    this.#clock = clock;
    this.#meter = meter;
    this.#release = release;
  }

  /** What waits. */
  get bytes(): number {
    return this.#bytes;
  }

  /** What waits, and came first. */
  get oldest(): Envelope | undefined {
    return this.#waiting.values().next().value;
  }

  /** Takes in messages of the past, and gives out the latest of each subject: a window begins with them. */
  passLatest(envelopes: readonly Envelope[]): readonly Envelope[] {
    for (const envelope of envelopes) this.#keep(envelope, this.#takeOut(envelope.subject));
    return this.#takeDue();
  }

  add(envelope: Envelope): void {
    const before = this.#takeOut(envelope.subject);
    const due = this.#hasRoomFor(envelope) ? [] : this.#takeDue();
    this.#keep(envelope, before);
    if (this.#cancel === undefined) {
      const waitMs = this.#openedMs + this.#windowMs - this.#clock.nowMs();
      const open = (): void => this.open();
      this.#cancel = waitMs > 0 ? this.#clock.after(waitMs, open) : this.#clock.soon(open);
    }
    if (due.length > 0) this.#release(due);
  }

  /** The window is over: releases what waits. */
  open(): void {
    const due = this.#takeDue();
    if (due.length > 0) this.#release(due);
  }

  /** Takes out what waits, and forgets the timer. */
  take(): readonly Envelope[] {
    this.#cancel?.();
    this.#cancel = undefined;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const envelope of waiting) this.#count(envelope, -1);
    return waiting;
  }

  #takeOut(subject: string): Envelope | undefined {
    const before = this.#waiting.get(subject);
    if (before === undefined) return undefined;
    this.#waiting.delete(subject);
    this.#count(before, -1);
    return before;
  }

  #keep(envelope: Envelope, superseded: Envelope | undefined): void {
    const kept = superseded === undefined ? envelope : envelope.superseding(superseded);
    if (superseded !== undefined) this.#meter.conflated++;
    this.#waiting.set(envelope.subject, kept);
    this.#count(envelope, 1);
  }

  #takeDue(): readonly Envelope[] {
    this.#openedMs = this.#clock.nowMs();
    return this.take();
  }

  #hasRoomFor({ byteLength }: Envelope): boolean {
    const { maxQueueMessages, maxQueueBytes } = this.#bounds;
    return this.#waiting.size < maxQueueMessages && this.#bytes + byteLength <= maxQueueBytes;
  }

  #count({ byteLength }: Envelope, sign: 1 | -1): void {
    this.#bytes += sign * byteLength;
    this.#meter.queued += sign;
    this.#meter.queuedBytes += sign * byteLength;
  }
}
