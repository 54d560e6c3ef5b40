import type { GapFrame } from "../../protocol/server-frames.ts";
import type { Ledger, LossReason } from "../metering/ledger.ts";
import { backoffMs } from "../timing/backoff.ts";
import { NOT_QUEUED, type QueuedTimer } from "../timing/timer-queue.ts";
import type { Envelope } from "../wire/envelope.ts";
import { AckState } from "./ack-state.ts";
import type { AckRecipient, AckTrackerParts } from "./ack-tracker.ts";
import type { AckWindow } from "./ack-window.ts";
import { deadLetterOf } from "./dead-letter.ts";
import { ExpiredBatch } from "./expired-batch.ts";
import { UnackedMessages } from "./unacked-messages.ts";
import { UnconfirmedGaps } from "./unconfirmed-gaps.ts";

/** A socket without room is asked again after so long. */
const CONGESTED_MS = 100;
/** An alarm that is later than this means that the process stood still: acks may be there, and unread. */
const PAUSE_MS = 1000;

/**
 * Sees to it that what a client was sent is acknowledged: sends it again after a while, and gives it
 * up in the end. Outlives the connection where the client may come back.
 */
export class MemoryTracker implements QueuedTimer {
  queueIndex = NOT_QUEUED;
  dueMs = 0;
  readonly #parts: AckTrackerParts;
  readonly #ledger: Ledger;
  readonly #book = new UnackedMessages();
  #gaps = new UnconfirmedGaps();
  /** Of the last message that was sent for the first time. */
  #lastSerial = 0;
  /** Absent while there is no connection. */
  #recipient: AckRecipient | undefined;

  constructor(parts: AckTrackerParts, recipient: AckRecipient) {
    this.#parts = parts;
    this.#ledger = parts.meter.ledger;
    this.#recipient = recipient;
  }

  /** What is not acknowledged. */
  get messages(): number {
    return this.#book.messages;
  }

  get bytes(): number {
    return this.#book.bytes;
  }

  /** How many messages may be sent now. */
  get roomMessages(): number {
    if (this.#recipient === undefined || this.roomBytes === 0) return 0;
    return Math.max(0, this.#parts.options.maxInflightMessages - this.messages);
  }

  /** How many bytes of them; the first message may be longer. */
  get roomBytes(): number {
    return Math.max(0, this.#parts.options.maxInflightBytes - this.bytes);
  }

  /** Messages are sent for the first time. */
  sends(envelopes: readonly Envelope[]): void {
    const dueMs = this.#parts.clock.nowMs() + this.#parts.options.ackTimeoutMs;
    const added = this.#book.add(envelopes, dueMs);
    this.#lastSerial = envelopes.at(-1)?.serial ?? this.#lastSerial;
    this.#ledger.track(added);
    this.#alarmBy(dueMs);
  }

  /** The client is told of a gap, behind a message, or behind all that it was sent. */
  tells(gap: GapFrame, behind?: Envelope): void {
    this.#gaps.add(gap, behind?.serial ?? this.#lastSerial);
  }

  /**
   * Takes in the acknowledgement of one message as most clients write it.
   *
   * @returns `false` for any other frame.
   */
  ackPlainly(frame: string, nowMs: number): boolean {
    return this.#book.findAcked(frame, (window, sequence) => this.#ack(window, sequence, nowMs));
  }

  /** Whether a message of that origin was sent, and something of it is waited for or was not long ago. */
  hasSent(id: string): boolean {
    return this.#book.find(id, () => {});
  }

  /** The client has taken a message in. */
  ack(id: string, nowMs: number): void {
    this.#find(id, (window, sequence) => this.#ack(window, sequence, nowMs));
  }

  /** The client has taken in all that it was sent up to a message, of those of the same origin. */
  ackUpTo(id: string, nowMs: number): void {
    this.#find(id, (window, sequence) => {
      const before = window.messages;
      this.#hears(window, window.find(sequence));
      if (sequence <= window.newest) {
        window.removeUpTo(sequence, (count, standing, dueMs) => {
          this.#acknowledged(count, standing, dueMs, nowMs);
        });
      }
      if (window.messages === before) this.#ignore(window, sequence);
      else this.#recipient?.hasRoom();
    });
  }

  /** The client could not take a message in: it comes again, later. */
  nack(id: string, nowMs: number): void {
    this.#find(id, (window, sequence) => {
      const at = window.find(sequence);
      if (at < 0 || window.standingAt(at) !== AckState.sent) {
        this.#ignore(window, sequence);
        return;
      }
      this.#ledger.countAck("nacked");
      const givenUp = new ExpiredBatch();
      this.#fail(window, at, AckState.refused, nowMs, givenUp);
      givenUp.tell(this.#recipient);
      if (window.find(sequence) < 0) this.#recipient?.hasRoom();
      else this.#alarmBy(window.dueAt(at));
    });
  }

  /** The client is at it, and has the whole time anew. */
  working(id: string, nowMs: number): void {
    this.#find(id, (window, sequence) => {
      const at = window.find(sequence);
      const waits = at >= 0 && window.standingAt(at) === AckState.sent;
      if (waits) window.wait(at, AckState.sent, nowMs + this.#parts.options.ackTimeoutMs);
      else this.#ignore(window, sequence);
    });
  }

  /** The connection is gone; the client may come back. */
  park(): void {
    this.#recipient = undefined;
    this.#parts.timers.clear(this);
  }

  /** The client is back: it gets what it has not acknowledged, in order, and the gaps that it may not have heard of. */
  resume(recipient: AckRecipient): void {
    this.#recipient = recipient;
    const nowMs = this.#parts.clock.nowMs();
    this.#book.rewind(nowMs);
    const gaps = this.#gaps;
    this.#gaps = new UnconfirmedGaps();
    for (const gap of gaps.all) recipient.tell(gap);
    // They stand where they stood: who acknowledges what was sent behind them then has heard of them now.
    this.#gaps = gaps;
    this.#redeliver(nowMs, true, Number.POSITIVE_INFINITY);
  }

  /** The client does not come back: nobody waits for its acknowledgements. */
  forget(reason: LossReason): void {
    this.#parts.timers.clear(this);
    this.#recipient = undefined;
    this.#ledger.lose(reason, this.messages);
    this.#book.clear();
  }

  fire(nowMs: number): void {
    if (this.#recipient === undefined) return;
    // After a standstill of the whole process, acknowledgements get time to be read.
    if (nowMs - this.dueMs > PAUSE_MS) {
      this.#book.extend(nowMs + Math.min(PAUSE_MS, this.#parts.options.ackTimeoutMs));
    }
    this.#redeliver(nowMs, this.#recipient.takes);
  }

  /** Acknowledgements of what was never sent change nothing. */
  #find(id: string, use: (window: AckWindow, sequence: number) => void): void {
    if (!this.#book.find(id, use)) this.#ledger.countAck("unknown");
  }

  #ack(window: AckWindow, sequence: number, nowMs: number): void {
    const at = window.find(sequence);
    if (at < 0) {
      this.#ignore(window, sequence);
      return;
    }
    this.#hears(window, at);
    this.#acknowledged(1, window.standingAt(at), window.dueAt(at), nowMs);
    window.remove(at);
    this.#recipient?.hasRoom();
  }

  /** Who acknowledges what was sent behind a gap, has heard of that. */
  #hears(window: AckWindow, at: number): void {
    if (at >= 0) this.#gaps.acknowledged(window.envelopeAt(at).serial);
  }

  /** Sends again what is due, gives up what was sent often enough, and waits for what is next. */
  #redeliver(nowMs: number, takes: boolean, maxDeliver = this.#parts.options.maxDeliver): void {
    const again: Envelope[] = [];
    const givenUp = new ExpiredBatch();
    const before = this.messages;
    let nextMs = Number.POSITIVE_INFINITY;
    for (const window of this.#book.windows) {
      this.#redeliverOf(window, nowMs, takes, maxDeliver, again, givenUp);
      nextMs = Math.min(nextMs, window.nextDueMs());
    }
    this.#book.shrink();
    if (nextMs < Number.POSITIVE_INFINITY) this.#parts.timers.set(this, nextMs);
    const recipient = this.#recipient;
    givenUp.tell(recipient);
    // Those of one origin are in order anyhow.
    if (this.#book.windows.length > 1) again.sort((one, other) => one.serial - other.serial);
    if (again.length > 0) {
      this.#ledger.redeliver(again.length);
      recipient?.resend(again);
    }
    if (this.messages < before) recipient?.hasRoom();
  }

  #redeliverOf(
    window: AckWindow,
    nowMs: number,
    takes: boolean,
    maxDeliver: number,
    again: Envelope[],
    givenUp: ExpiredBatch,
  ): void {
    const { ackTimeoutMs } = this.#parts.options;
    for (let at = window.head; at < window.end; at++) {
      if (window.standingAt(at) === AckState.gone || window.dueAt(at) > nowMs) continue;
      if (window.standingAt(at) === AckState.sent) {
        const isLast = window.deliveriesAt(at) >= maxDeliver;
        // Nobody gives a message up whom it may never have reached: the connection may be dead, and not known to be.
        if (isLast && !this.#recipient?.heardSince(window.dueAt(at) - ackTimeoutMs)) {
          window.wait(at, AckState.sent, nowMs + CONGESTED_MS);
          continue;
        }
        this.#ledger.countAck("timed_out");
        this.#fail(window, at, AckState.late, nowMs, givenUp);
      } else if (window.deliveriesAt(at) >= maxDeliver) {
        this.#giveUp(window, at, givenUp);
      }
      const standing = window.standingAt(at);
      if (standing === AckState.gone || window.dueAt(at) > nowMs) continue;
      if (takes) {
        again.push(window.envelopeAt(at).with("redelivery", window.deliveriesAt(at)));
        window.sentAgain(at, nowMs + ackTimeoutMs);
      } else {
        window.wait(at, standing, nowMs + CONGESTED_MS);
      }
    }
  }

  #alarmBy(dueMs: number): void {
    if (this.queueIndex === NOT_QUEUED || dueMs < this.dueMs) this.#parts.timers.set(this, dueMs);
  }

  #acknowledged(count: number, standing: number, dueMs: number, nowMs: number): void {
    const sentMs = dueMs - this.#parts.options.ackTimeoutMs;
    this.#ledger.acknowledge(count, standing === AckState.sent ? nowMs - sentMs : undefined);
  }

  /** Acknowledgements of what is settled change nothing either. */
  #ignore(window: AckWindow, sequence: number): void {
    if (sequence > window.newest) this.#ledger.countAck("unknown");
    else this.#ledger.countAck("repeated");
  }

  /** A delivery failed: there is another one after the back-off, or none. */
  #fail(
    window: AckWindow,
    at: number,
    standing: number,
    nowMs: number,
    givenUp: ExpiredBatch,
  ): void {
    const { maxDeliver, redeliveryBackoffMs: firstMs } = this.#parts.options;
    const deliveries = window.deliveriesAt(at);
    window.wait(at, standing, nowMs + backoffMs(firstMs, deliveries, this.#parts.random()));
    if (deliveries >= maxDeliver) this.#giveUp(window, at, givenUp);
  }

  #giveUp(window: AckWindow, at: number, givenUp: ExpiredBatch): void {
    const envelope = window.envelopeAt(at);
    const { deadLetters, deadLetterSubject } = this.#parts;
    if (deadLetterSubject !== undefined) {
      const failure = window.standingAt(at) === AckState.refused ? "nack" : "ack_timeout";
      const deliveries = window.deliveriesAt(at);
      deadLetters?.publish(deadLetterOf(envelope, deadLetterSubject, failure, deliveries));
      this.#ledger.countDeadLetter();
    }
    window.remove(at);
    this.#ledger.lose("max_deliver", 1);
    givenUp.add(envelope);
  }
}
