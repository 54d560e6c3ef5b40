import type { Ledger } from "../metering/ledger.ts";
import type { Cancel, Clock } from "../ports/clock.ts";
import { type Envelope, firstOf, type Position } from "../wire/envelope.ts";
import type { QueueBounds } from "./queue-bounds.ts";

/** No timer can be set to more than 24.8 days: a longer one rings at once. */
const MOST_WINDOW_MS = 2 ** 31 - 1;
/** So many are released in one turn of the event loop, however many subjects wait. */
const MOST_AT_ONCE = 4096;

/**
 * Slows one subscription down: in each window of 1/`maxRate` seconds, the latest message of each
 * subject. What waits here counts as queued, what was superseded as conflated. More than fits into a
 * queue does not wait: then the window is over at once.
 */
export class Pacer {
  readonly #windowMs: number;
  readonly #bounds: QueueBounds;
  readonly #clock: Clock;
  readonly #ledger: Ledger;
  #release: (envelope: Envelope) => void;
  /** By subject, in the order of the messages, so that cursors only grow. */
  readonly #waiting = new Map<string, Envelope>();
  #bytes = 0;
  #openedMs = Number.NEGATIVE_INFINITY;
  #cancel: Cancel | undefined;

  /** @param release takes a message that is due, and is no longer counted here. */
  constructor(
    maxRate: number,
    bounds: QueueBounds,
    clock: Clock,
    ledger: Ledger,
    release: (envelope: Envelope) => void,
  ) {
    this.#windowMs = Math.min(1000 / maxRate, MOST_WINDOW_MS);
    this.#bounds = bounds;
    this.#clock = clock;
    this.#ledger = ledger;
    this.#release = release;
  }

  /** From now on, another one takes what is due. */
  releaseTo(release: (envelope: Envelope) => void): void {
    this.#release = release;
  }

  /** How many wait. */
  get messages(): number {
    return this.#waiting.size;
  }

  /** What waits. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The oldest of all that waits or was superseded here. */
  get oldest(): Position | undefined {
    return firstOf(this.#waiting.values());
  }

  /**
   * Takes in messages of the past, and gives out the latest of each subject when there are no more: a
   * window begins with them.
   *
   * @param most gives out no more of them at once; the others still wait.
   */
  passLatest(envelopes: readonly Envelope[], isLast: boolean, most: number): readonly Envelope[] {
    for (const envelope of envelopes) this.#keep(envelope, this.takeOut(envelope.subject));
    if (!isLast) return [];
    this.#openedMs = this.#clock.nowMs();
    return this.take(most);
  }

  add(envelope: Envelope): void {
    const before = this.takeOut(envelope.subject);
    const due = this.#hasRoomFor(envelope) ? 0 : this.#waiting.size;
    this.#keep(envelope, before);
    if (due > 0) this.#openFor(envelope, due);
    this.#schedule();
  }

  /** Releases nothing by itself any more. */
  pause(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  /** Releases what waits, due or not. */
  open(): void {
    this.#openedMs = this.#clock.nowMs();
    this.hand(this.#waiting.size, this.#release);
  }

  /** Takes out what waits, or so many of that, and forgets the timer. */
  take(most = Number.POSITIVE_INFINITY): readonly Envelope[] {
    const waiting: Envelope[] = [];
    this.hand(most, (envelope) => waiting.push(envelope));
    return waiting;
  }

  /** Gives up what waits, and forgets the timer. @returns how many that were. */
  clear(): number {
    this.pause();
    const { size } = this.#waiting;
    this.#ledger.unqueue(size, this.#bytes);
    this.#bytes = 0;
    this.#waiting.clear();
    return size;
  }

  /**
   * Takes out so many of those that came first, and forgets the timer. What was not handed over yet still
   * waits: a client that one of them is too much for is told a cursor before the others.
   */
  hand(count: number, to: (envelope: Envelope) => void): void {
    this.pause();
    let left = count;
    for (const envelope of this.#waiting.values()) {
      if (left-- === 0) return;
      this.takeOut(envelope.subject);
      to(envelope);
    }
  }

  /** Takes out what waits, one after the other, and releases nothing by itself any more. */
  *drain(): Generator<Envelope, void, void> {
    this.pause();
    for (const envelope of this.#waiting.values()) {
      this.takeOut(envelope.subject);
      yield envelope;
    }
  }

  /** Takes out what waits of a subject. */
  takeOut(subject: string): Envelope | undefined {
    const before = this.#waiting.get(subject);
    if (before === undefined) return undefined;
    this.#waiting.delete(subject);
    this.#bytes -= before.byteLength;
    this.#ledger.unqueue(1, before.byteLength);
    return before;
  }

  #keep(envelope: Envelope, superseded: Envelope | undefined): void {
    const kept = superseded === undefined ? envelope : envelope.superseding(superseded);
    if (superseded !== undefined) this.#ledger.conflate();
    this.#waiting.set(envelope.subject, kept);
    this.#bytes += envelope.byteLength;
    this.#ledger.queue(envelope.byteLength);
  }

  /**
   * The window is over, as a message has no room beside so many that wait. They are released in parts; more
   * than one part at once only if the message is so long.
   */
  #openFor({ byteLength }: Envelope, waiting: number): void {
    const { maxQueueBytes } = this.#bounds;
    this.#openedMs = this.#clock.nowMs();
    let left = waiting;
    do {
      this.hand(Math.min(left, MOST_AT_ONCE), this.#release);
      left -= MOST_AT_ONCE;
    } while (left > 0 && this.#bytes > Math.max(byteLength, maxQueueBytes));
    if (left > 0) this.#cancel = this.#clock.soon(() => this.#releaseParts(left));
  }

  /** Sees to it that the window that has begun ends. */
  #schedule(): void {
    if (this.#cancel !== undefined || this.#waiting.size === 0) return;
    const waitMs = this.#openedMs + this.#windowMs - this.#clock.nowMs();
    const end = (): void => {
      this.#openedMs = this.#clock.nowMs();
      this.#releaseParts(this.#waiting.size);
    };
    this.#cancel = waitMs > 0 ? this.#clock.after(waitMs, end) : this.#clock.soon(end);
  }

  /** The window is over: releases so many, no more in one turn of the event loop than others may wait for. */
  #releaseParts(count: number): void {
    this.hand(Math.min(count, MOST_AT_ONCE), this.#release);
    const left = Math.min(count - MOST_AT_ONCE, this.#waiting.size);
    if (left > 0) this.#cancel = this.#clock.soon(() => this.#releaseParts(left));
    else this.#schedule();
  }

  #hasRoomFor({ byteLength }: Envelope): boolean {
    const { maxQueueMessages, maxQueueBytes } = this.#bounds;
    return this.#waiting.size < maxQueueMessages && this.#bytes + byteLength <= maxQueueBytes;
  }
}
