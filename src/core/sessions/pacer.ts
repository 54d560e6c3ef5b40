import type { Ledger } from "../metering/ledger.ts";
import type { Cancel, Clock } from "../ports/clock.ts";
import type { Job } from "../timing/turn-share.ts";
import { type Envelope, firstOf, type Position } from "../wire/envelope.ts";
import type { QueueBounds } from "./queue-bounds.ts";

/** The longest timer, of 24.8 days: a longer one would fire at once. */
const MOST_WINDOW_MS = 2 ** 31 - 1;

/** Releases due messages in shares of this turn and the next ones. */
interface Release extends Job {
  isDone: boolean;
}

/**
 * Slows a subscription down: releases the latest message of each subject once in each window of 1/`maxRate` seconds.
 * Messages that wait here count as queued, superseded ones as conflated. When more messages wait than fit into a
 * queue, the window ends at once.
 */
export class Pacer {
  #windowMs = 0;
  readonly #bounds: QueueBounds;
  readonly #clock: Clock;
  readonly #ledger: Ledger;
  readonly #release: (envelope: Envelope) => void;
  /** By subject, in the order of the messages, so that cursors only grow. */
  readonly #waiting = new Map<string, Envelope>();
  #bytes = 0;
  #openedMs = Number.NEGATIVE_INFINITY;
  #cancel: Cancel | undefined;
  readonly #run: (job: Job) => void;
  #releasing: Release | undefined;
  /** How many of the oldest messages are due, as the last window has ended. */
  #due = 0;

  /**
   * @param release takes a message that is due, and is no longer counted here.
   * @param run does a job in shares of the event loop's turns.
   */
  constructor(
    maxRate: number,
    bounds: QueueBounds,
    clock: Clock,
    ledger: Ledger,
    release: (envelope: Envelope) => void,
    run: (job: Job) => void,
  ) {
    this.#run = run;
    this.maxRate = maxRate;
    this.#bounds = bounds;
    this.#clock = clock;
    this.#ledger = ledger;
    this.#release = release;
  }

  /** Windows that begin from now on have another length. */
  set maxRate(maxRate: number) {
    this.#windowMs = Math.min(1000 / maxRate, MOST_WINDOW_MS);
  }

  /** The number of waiting messages. */
  get messages(): number {
    return this.#waiting.size;
  }

  /** The size of the waiting messages. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The oldest of all waiting and superseded messages. */
  get oldest(): Position | undefined {
    return firstOf(this.#waiting.values());
  }

  /**
   * Takes replayed messages. After the last of them, a window begins with the latest message of each subject. No later
   * message supersedes one that ends its subject.
   *
   * @param most the maximum number to release of those after the last end; the others still wait.
   */
  passLatest(envelopes: readonly Envelope[], isLast: boolean, most: number): readonly Envelope[] {
    const due: Envelope[] = [];
    const take = (envelope: Envelope): void => {
      due.push(envelope);
    };
    for (const envelope of envelopes) {
      if (this.#waiting.get(envelope.subject)?.ends) this.#move(this.#waiting.size, take);
      this.#keep(envelope, this.takeOut(envelope.subject));
    }
    if (!isLast) return due;
    this.#openedMs = this.#clock.nowMs();
    this.pause();
    this.#move(most, take);
    return due;
  }

  /**
   * Takes a message. One that ends its subject is released at once if nothing else waits: otherwise, each end would
   * release all other subjects before they are due.
   */
  add(envelope: Envelope): void {
    // A later message must not supersede the end.
    if (this.#waiting.get(envelope.subject)?.ends) this.open();
    const before = this.takeOut(envelope.subject);
    const due = this.#hasRoomFor(envelope) ? 0 : this.#waiting.size;
    this.#keep(envelope, before);
    if (envelope.ends && this.#waiting.size === 1) this.open();
    else if (due > 0) this.#openFor(envelope, due);
    else this.#schedule();
  }

  /** Stops the timer: messages are no longer released by themselves. */
  pause(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#due = 0;
    if (this.#releasing !== undefined) this.#releasing.isDone = true;
    this.#releasing = undefined;
  }

  /** Releases all waiting messages, due or not. */
  open(): void {
    this.#openedMs = this.#clock.nowMs();
    for (const envelope of this.drain()) this.#release(envelope);
  }

  /** Drops the waiting messages that the client may not receive any more. */
  dropForbidden(mayReceive: (subject: string) => boolean): void {
    let at = 0;
    let dropped = 0;
    for (const subject of this.#waiting.keys()) {
      const isDue = at++ < this.#due + dropped;
      if (mayReceive(subject)) continue;
      this.takeOut(subject);
      dropped++;
      if (isDue) this.#due--;
    }
    this.#ledger.drop("forbidden", dropped);
  }

  /** Drops the waiting messages, and stops the timer. @returns their number. */
  clear(): number {
    this.pause();
    const { size } = this.#waiting;
    this.#ledger.unqueue(size, this.#bytes);
    this.#bytes = 0;
    this.#waiting.clear();
    return size;
  }

  /**
   * Stops the timer, and removes the waiting messages one after the other: the others still wait, so that the cursor of a
   * client that is disconnected by one of them lies before the others.
   */
  *drain(): Generator<Envelope, void, void> {
    this.pause();
    for (const envelope of this.#waiting.values()) {
      this.takeOut(envelope.subject);
      yield envelope;
    }
  }

  /** Removes the waiting message of a subject. */
  takeOut(subject: string): Envelope | undefined {
    const before = this.#waiting.get(subject);
    if (before === undefined) return undefined;
    this.#waiting.delete(subject);
    this.#bytes -= before.byteLength;
    this.#ledger.unqueue(1, before.byteLength);
    return before;
  }

  /** Removes so many of the oldest messages one after the other, like `drain`. */
  #move(count: number, to: (envelope: Envelope) => void): void {
    let left = count;
    for (const envelope of this.#waiting.values()) {
      if (left-- === 0) return;
      this.takeOut(envelope.subject);
      to(envelope);
    }
  }

  #keep(envelope: Envelope, superseded: Envelope | undefined): void {
    const kept = superseded === undefined ? envelope : envelope.superseding(superseded);
    if (superseded !== undefined) this.#ledger.conflate();
    this.#waiting.set(envelope.subject, kept);
    this.#bytes += envelope.byteLength;
    this.#ledger.queue(envelope.byteLength);
  }

  /** Ends the window at once, as there is no room for another message. */
  #openFor({ byteLength }: Envelope, waiting: number): void {
    const { maxQueueMessages, maxQueueBytes } = this.#bounds;
    this.#releaseDue(waiting);
    const maxBytes = Math.max(byteLength, maxQueueBytes);
    while (this.#due > 0 && (this.#waiting.size > maxQueueMessages || this.#bytes > maxBytes)) {
      this.#due--;
      this.#move(1, this.#release);
    }
  }

  /** Plans the end of the window. */
  #schedule(): void {
    if (this.#cancel !== undefined || this.#releasing !== undefined) return;
    if (this.#waiting.size === 0) return;
    const waitMs = this.#openedMs + this.#windowMs - this.#clock.nowMs();
    const end = (): void => this.#releaseDue(this.#waiting.size);
    this.#cancel = waitMs > 0 ? this.#clock.after(waitMs, end) : this.#clock.soon(end);
  }

  /** The window is over: releases this many of the oldest messages, in shares of the event loop's turns. */
  #releaseDue(count: number): void {
    this.pause();
    this.#openedMs = this.#clock.nowMs();
    this.#due = count;
    const release: Release = {
      isDone: false,
      work: (steps) => {
        const part = Math.min(this.#due, steps);
        if (release.isDone) return part;
        this.#due -= part;
        this.#move(part, this.#release);
        if (release.isDone || (this.#due > 0 && this.#waiting.size > 0)) return part;
        this.pause();
        this.#schedule();
        return part;
      },
    };
    this.#releasing = release;
    this.#run(release);
  }

  #hasRoomFor({ byteLength }: Envelope): boolean {
    const { maxQueueMessages, maxQueueBytes } = this.#bounds;
    return this.#waiting.size < maxQueueMessages && this.#bytes + byteLength <= maxQueueBytes;
  }
}
