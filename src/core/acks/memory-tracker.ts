import type { GapFrame } from "../../protocol/server-frames.ts";
import type { Ledger, LossReason } from "../metering/ledger.ts";
import { NOT_QUEUED, type QueuedTimer } from "../timing/timer-queue.ts";
import type { Envelope } from "../wire/envelope.ts";
import { AckState } from "./ack-state.ts";
import type { AckRecipient, AckTracker, AckTrackerParts } from "./ack-tracker.ts";
import type { AckWindow } from "./ack-window.ts";
import { ExpiredBatch } from "./expired-batch.ts";
import { UnackedMessages } from "./unacked-messages.ts";
import { UnconfirmedGaps } from "./unconfirmed-gaps.ts";

/** If the socket has no room, it is asked again after this time. */
const CONGESTED_MS = 100;
/** A timer that is later than this means that the process stood still: acknowledgements may be unread. */
const PAUSE_MS = 1000;

/**
 * Keeps the messages that a client was sent in memory until it acknowledges them: sends them again after a
 * timeout or a failure, and gives them up in the end. Outlives the connection if the client may reconnect.
 */
export class MemoryTracker implements AckTracker, QueuedTimer {
  queueIndex = NOT_QUEUED;
  dueMs = 0;
  readonly #parts: AckTrackerParts;
  readonly #ledger: Ledger;
  readonly #unacked = new UnackedMessages();
  #gaps = new UnconfirmedGaps();
  /** The serial of the last message that was sent for the first time. */
  #lastSerial = 0;
  /** `undefined` without a connection. */
  #recipient: AckRecipient | undefined;

  constructor(parts: AckTrackerParts, recipient: AckRecipient) {
    this.#parts = parts;
    this.#ledger = parts.meter.ledger;
    this.#recipient = recipient;
  }

  get messages(): number {
    return this.#unacked.messages;
  }

  get bytes(): number {
    return this.#unacked.bytes;
  }

  /** How many messages may be sent now. */
  get roomMessages(): number {
    if (this.#recipient === undefined || this.roomBytes === 0) return 0;
    return Math.max(0, this.#parts.options.maxInflightMessages - this.messages);
  }

  /** The first message may be longer. */
  get roomBytes(): number {
    return Math.max(0, this.#parts.options.maxInflightBytes - this.bytes);
  }

  /** Takes in messages that are sent for the first time. */
  sent(envelopes: readonly Envelope[]): void {
    const dueMs = this.#parts.clock.nowMs() + this.#parts.options.ackTimeoutMs;
    const added = this.#unacked.add(envelopes, dueMs);
    this.#lastSerial = envelopes.at(-1)?.serial ?? this.#lastSerial;
    this.#ledger.track(added);
    this.#wakeBy(dueMs);
  }

  /** Takes in a gap that is sent after a message, or after all messages. */
  gapSent(gap: GapFrame, after?: Envelope): void {
    this.#gaps.add(gap, after?.serial ?? this.#lastSerial);
  }

  /** See {@linkcode SessionAcks.acceptPlainAck}. */
  acceptPlainAck(frame: string, nowMs: number): boolean {
    return this.#unacked.findPlainAck(frame, (window, sequence) =>
      this.#ack(window, sequence, nowMs),
    );
  }

  /** Whether messages of this id's origin were sent, and are unacknowledged or were a short time ago. */
  hasSent(id: string): boolean {
    return this.#unacked.find(id, () => {});
  }

  ack(id: string, nowMs: number): void {
    this.#find(id, (window, sequence) => this.#ack(window, sequence, nowMs));
  }

  ackUpTo(id: string, nowMs: number): boolean {
    return this.#find(id, (window, sequence) => {
      const before = window.messages;
      this.#confirmGaps(window, window.find(sequence));
      if (sequence <= window.newest) {
        window.removeUpTo(sequence, (count, state, dueMs) => {
          this.#acknowledge(count, state, dueMs, nowMs);
        });
      }
      if (window.messages === before) this.#ignore(window, sequence);
      else this.#recipient?.hasRoom();
    });
  }

  nack(id: string, nowMs: number): void {
    this.#find(id, (window, sequence) => {
      const at = window.find(sequence);
      if (at < 0 || window.stateAt(at) !== AckState.sent) {
        this.#ignore(window, sequence);
        return;
      }
      this.#ledger.countAck("nacked");
      const expired = new ExpiredBatch();
      this.#fail(window, at, AckState.refused, nowMs, expired);
      expired.tell(this.#recipient);
      if (window.find(sequence) < 0) this.#recipient?.hasRoom();
      else this.#wakeBy(window.dueAt(at));
    });
  }

  working(id: string, nowMs: number): void {
    this.#find(id, (window, sequence) => {
      const at = window.find(sequence);
      const isSent = at >= 0 && window.stateAt(at) === AckState.sent;
      if (isSent) window.wait(at, AckState.sent, nowMs + this.#parts.options.ackTimeoutMs);
      else this.#ignore(window, sequence);
    });
  }

  detach(): void {
    this.#recipient = undefined;
    this.#parts.timers.clear(this);
  }

  /** Sends the unacknowledged messages again, in order, and the gaps that the client may not have received. */
  attach(recipient: AckRecipient): void {
    this.#recipient = recipient;
    const nowMs = this.#parts.clock.nowMs();
    this.#unacked.rewind(nowMs);
    const gaps = this.#gaps;
    this.#gaps = new UnconfirmedGaps();
    for (const gap of gaps.all) recipient.tell(gap);
    // They keep their places: an acknowledgement of a message that was sent after them confirms them.
    this.#gaps = gaps;
    // A client that has just reconnected gets every message once more.
    this.#redeliver(recipient, nowMs, true, false);
  }

  /** Forgets the messages that the client may not receive any more: they are not sent again. */
  dropForbidden(mayReceive: (subject: string) => boolean): void {
    let lost = 0;
    for (const window of this.#unacked.windows) {
      for (let at = window.head; at < window.end; at++) {
        if (at < window.head || window.stateAt(at) === AckState.gone) continue;
        if (mayReceive(window.envelopeAt(at).subject)) continue;
        window.remove(at);
        lost++;
      }
    }
    if (lost === 0) return;
    this.#ledger.lose("forbidden", lost);
    this.#recipient?.hasRoom();
  }

  forget(reason: LossReason): void {
    this.#parts.timers.clear(this);
    this.#recipient = undefined;
    this.#ledger.lose(reason, this.messages);
    this.#unacked.clear();
  }

  fire(nowMs: number): void {
    const recipient = this.#recipient;
    if (recipient === undefined) return;
    // If the whole process stood still, acknowledgements get time to be read.
    if (nowMs - this.dueMs > PAUSE_MS) {
      this.#unacked.extend(nowMs + Math.min(PAUSE_MS, this.#parts.options.ackTimeoutMs));
    }
    this.#redeliver(recipient, nowMs, recipient.takes, true);
  }

  /** Calls with the window of an id. An acknowledgement of a message that was never sent changes nothing. */
  #find(id: string, use: (window: AckWindow, sequence: number) => void): boolean {
    const isFound = this.#unacked.find(id, use);
    if (!isFound) this.#ledger.countAck("unknown");
    return isFound;
  }

  #ack(window: AckWindow, sequence: number, nowMs: number): void {
    const at = window.find(sequence);
    if (at < 0) {
      this.#ignore(window, sequence);
      return;
    }
    this.#confirmGaps(window, at);
    this.#acknowledge(1, window.stateAt(at), window.dueAt(at), nowMs);
    window.remove(at);
    this.#recipient?.hasRoom();
  }

  /** A client that acknowledges a message has received the gaps that were sent before it. */
  #confirmGaps(window: AckWindow, at: number): void {
    if (at >= 0) this.#gaps.confirm(window.envelopeAt(at).serial);
  }

  /** Sends the messages that are due again, or gives them up, and sets the timer for the next ones. */
  #redeliver(recipient: AckRecipient, nowMs: number, takes: boolean, mayGiveUp: boolean): void {
    const again: Envelope[] = [];
    const expired = new ExpiredBatch();
    const before = this.messages;
    let nextMs = Number.POSITIVE_INFINITY;
    for (const window of this.#unacked.windows) {
      this.#redeliverOf(window, recipient, nowMs, takes, mayGiveUp, again, expired);
      nextMs = Math.min(nextMs, window.nextDueMs());
    }
    this.#unacked.shrink();
    if (nextMs < Number.POSITIVE_INFINITY) this.#parts.timers.set(this, nextMs);
    expired.tell(recipient);
    // The messages of one origin are in order already.
    if (this.#unacked.windows.length > 1) again.sort((one, other) => one.serial - other.serial);
    if (again.length > 0) {
      this.#ledger.redeliver(again.length);
      recipient.resend(again);
    }
    if (this.messages < before) recipient.hasRoom();
  }

  #redeliverOf(
    window: AckWindow,
    recipient: AckRecipient,
    nowMs: number,
    takes: boolean,
    mayGiveUp: boolean,
    again: Envelope[],
    expired: ExpiredBatch,
  ): void {
    const { options, redelivery } = this.#parts;
    const { ackTimeoutMs } = options;
    for (let at = window.head; at < window.end; at++) {
      if (window.stateAt(at) === AckState.gone || window.dueAt(at) > nowMs) continue;
      const isExhausted = mayGiveUp && redelivery.isExhausted(window.deliveriesAt(at));
      if (window.stateAt(at) === AckState.sent) {
        // If the client may be gone, it may never have received the message: it isn't given up yet.
        if (isExhausted && !recipient.heardSince(window.dueAt(at) - ackTimeoutMs)) {
          window.wait(at, AckState.sent, nowMs + CONGESTED_MS);
          continue;
        }
        this.#ledger.countAck("timed_out");
        this.#fail(window, at, AckState.late, nowMs, expired);
      } else if (isExhausted) {
        this.#giveUp(window, at, expired);
      }
      const state = window.stateAt(at);
      if (state === AckState.gone || window.dueAt(at) > nowMs) continue;
      if (takes) {
        again.push(window.envelopeAt(at).with("redelivery", window.deliveriesAt(at)));
        window.sentAgain(at, nowMs + ackTimeoutMs);
      } else {
        window.wait(at, state, nowMs + CONGESTED_MS);
      }
    }
  }

  #wakeBy(dueMs: number): void {
    if (this.queueIndex === NOT_QUEUED || dueMs < this.dueMs) this.#parts.timers.set(this, dueMs);
  }

  #acknowledge(count: number, state: number, dueMs: number, nowMs: number): void {
    const sentMs = dueMs - this.#parts.options.ackTimeoutMs;
    this.#ledger.acknowledge(count, state === AckState.sent ? nowMs - sentMs : undefined);
  }

  /** Counts an acknowledgement that changes nothing. */
  #ignore(window: AckWindow, sequence: number): void {
    this.#ledger.countAck(sequence > window.newest ? "unknown" : "repeated");
  }

  /** A delivery failed: the message waits for the next one, or is given up. */
  #fail(window: AckWindow, at: number, state: number, nowMs: number, expired: ExpiredBatch): void {
    const { redelivery } = this.#parts;
    const deliveries = window.deliveriesAt(at);
    window.wait(at, state, nowMs + redelivery.backoffMs(deliveries));
    if (redelivery.isExhausted(deliveries)) this.#giveUp(window, at, expired);
  }

  #giveUp(window: AckWindow, at: number, expired: ExpiredBatch): void {
    const failure = window.stateAt(at) === AckState.refused ? "nack" : "ack_timeout";
    const deliveries = window.deliveriesAt(at);
    const envelope = window.envelopeAt(at);
    window.remove(at);
    this.#parts.redelivery.giveUp(envelope, failure, deliveries, expired);
  }
}
