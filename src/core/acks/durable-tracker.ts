import type { Policy } from "../../protocol/fields.ts";
import type { GapFrame } from "../../protocol/server-frames.ts";
import type {
  DurableListener,
  DurableMessage,
  DurableRefusal,
  DurableState,
  DurableUse,
} from "../ports/source.ts";
import { NOT_QUEUED, type QueuedTimer } from "../timing/timer-queue.ts";
import { SteppedJob, type TurnShare } from "../timing/turn-share.ts";
import { cursorOf, type Envelope, type EnvelopeEncoder } from "../wire/envelope.ts";
import { unknownGap } from "../wire/gap.ts";
import { sequenceOf } from "./ack-id.ts";
import type { AckRecipient, AckTracker, AckTrackerParts } from "./ack-tracker.ts";
import type { DeadLetterReason } from "./dead-letter.ts";
import { ExpiredBatch } from "./expired-batch.ts";
import { type FinalSettlement, RecentlySettled } from "./recently-settled.ts";
import type { UnsettledIndex } from "./unsettled-index.ts";

export interface DurableParts extends AckTrackerParts {
  readonly encoder: EnvelopeEncoder;
  readonly turnShare: TurnShare;
}

/** The session that uses a durable. */
interface DurableUser {
  readonly recipient: AckRecipient;
  /** The unsettled messages of all durables of the session. */
  readonly unsettled: UnsettledIndex;
  /** The durable was refused: the session doesn't use it any more. */
  ended(): void;
}

/** If the client takes nothing now, it is asked again after this time. */
const CONGESTED_MS = 100;

/** The subscription of a client to a durable. */
export interface DurableTitle {
  /** The id of the subscription. */
  readonly id: string;
  readonly name: string;
  readonly subjects: readonly string[];
  /** The endpoint's policy. It has no effect here: messages that don't fit wait in the stream. */
  readonly policy: Policy;
}

/** A message that the client was sent and has not settled. */
interface Unsettled {
  readonly envelope: Envelope;
  readonly receipt: string;
  readonly deliveries: number;
  readonly sentMs: number;
  /** The time at which the durable was told last that the client still processes it; `undefined`: it wasn't. */
  readonly workedOnMs?: number;
  /** Whether the durable sends it again anyway: it doesn't count against the room any more. */
  isLate: boolean;
}

/**
 * Sends a client the messages of a JetStream durable, and tells the durable what the client says of them. The
 * durable decides when a message is sent again; only the unsettled messages are kept here.
 */
export class DurableTracker implements AckTracker, DurableListener, QueuedTimer {
  queueIndex = NOT_QUEUED;
  dueMs = 0;
  readonly title: DurableTitle;
  readonly #parts: DurableParts;
  readonly #user: DurableUser;
  readonly #recipient: AckRecipient;
  #use: DurableUse | undefined;
  /** Whether the client uses the durable no more: what it still brings in this turn sets no timer. */
  #isReleased = false;
  #origin: string | undefined;
  /** By sequence, in the order in which they were last sent. */
  #unsettled = new Map<number, Unsettled>();
  readonly #settled: RecentlySettled;
  /** The bytes of the messages that are not late. */
  #bytes = 0;
  #newest = 0;
  /** Messages that are written together at the end of this turn. */
  #pending: Envelope[] = [];

  constructor(title: DurableTitle, parts: DurableParts, user: DurableUser) {
    this.title = title;
    this.#parts = parts;
    this.#user = user;
    this.#recipient = user.recipient;
    this.#settled = new RecentlySettled(parts.options.ackTimeoutMs);
  }

  /** @param use settles the messages. */
  begin(use: DurableUse): void {
    this.#use = use;
  }

  get messages(): number {
    return this.#unsettled.size;
  }

  get roomBytes(): number {
    if (this.#recipient.takes) return this.#parts.options.maxInflightBytes - this.#bytes;
    // The client may take more again without saying so: the timer asks, and tells the source.
    this.#setTimer(this.#parts.clock.nowMs());
    return 0;
  }

  get settledUpTo(): number | undefined {
    if (this.#newest === 0) return undefined;
    let last = this.#newest;
    for (const sequence of this.#unsettled.keys()) last = Math.min(last, sequence - 1);
    return last;
  }

  begins({ origin, sequence, first, isNew }: DurableState): void {
    const before = this.#origin;
    const from = cursorOf({ origin, sequence });
    const gaps: GapFrame[] = [];
    if (before !== undefined && before !== origin) {
      gaps.push(
        unknownGap(cursorOf({ origin: before, sequence: this.#newest }), from, "stream_reset"),
      );
      this.#giveBack();
      this.#settled.clear();
      this.#newest = 0;
    } else if (!isNew && first > sequence + 1) {
      // It isn't known how many of the removed messages had the durable's subjects.
      const to = cursorOf({ origin, sequence: first - 1 });
      gaps.push(unknownGap(cursorOf({ origin, sequence: sequence + 1 }), to, "expired"));
    }
    this.#origin = origin;
    const { id: sub, name, subjects, policy } = this.title;
    const subscribed = { type: "subscribed", id: sub, sub, subjects, policy, from } as const;
    const own = gaps.map((gap) => ({ ...gap, sub }));
    if (before === undefined) this.#recipient.tell({ ...subscribed, durable: name }, ...own);
    else for (const gap of own) this.#recipient.tell(gap);
  }

  missed(first: number, last: number): void {
    const origin = this.#origin;
    if (origin === undefined) return;
    this.#write();
    const from = cursorOf({ origin, sequence: first });
    const to = cursorOf({ origin, sequence: last });
    // Some may have other subjects, or were deleted one by one.
    const count = last - first + 1;
    const gap = { type: "gap", from, to, count, reason: "expired", exact: false } as const;
    this.#recipient.tell({ ...gap, sub: this.title.id });
  }

  message(message: DurableMessage): void {
    // The source may have had it under way; the next user gets it.
    if (this.#isReleased) return;
    const { clock, meter, encoder, options } = this.#parts;
    const { ledger } = meter;
    const { position, deliveries, receipt } = message;
    const wallMs = clock.wallMs();
    meter.countReceived(message.data.length, wallMs);
    const { sequence } = position;
    if (this.#recipient.denies(message.subject)) {
      // The client isn't sent it, and the durable must not wait for it.
      this.#newest = Math.max(this.#newest, sequence);
      this.#use?.settle(receipt, "ack");
      return;
    }
    const settledAs = this.#settled.get(sequence);
    if (settledAs !== undefined) {
      // The durable sent it again before it was told, or never was told.
      this.#settle(sequence, receipt, settledAs);
      return;
    }
    const envelope = encoder.encode(message, position, message.timestampMs ?? wallMs);
    const before = this.#remove(sequence);
    if (before === undefined) {
      ledger.offer(1);
      ledger.send(1, envelope.byteLength);
      ledger.track(1);
    }
    const sentMs = clock.nowMs();
    const unsettled = { envelope, receipt, deliveries, sentMs, isLate: false };
    this.#newest = Math.max(this.#newest, sequence);
    // A client that never had the message gets it once, however often other clients did.
    if (before !== undefined && deliveries > options.maxDeliver) {
      if (this.#recipient.heardSince(before.sentMs)) this.#giveUp(unsettled, "ack_timeout");
      else this.#postpone({ ...before, receipt });
      return;
    }
    if (before !== undefined) ledger.redeliver(1);
    this.#keep(sequence, unsettled);
    const again = deliveries - 1;
    this.#send(again > 0 ? envelope.with("redelivery", again) : envelope);
  }

  taken(): void {
    this.#recipient.end("taken_over");
  }

  refused(code: DurableRefusal, message: string): void {
    const { meter, timers } = this.#parts;
    meter.refused[code]++;
    this.#isReleased = true;
    timers.clear(this);
    this.#giveBack();
    this.#user.ended();
    const recipient = this.#recipient;
    if (!recipient.dialect.sendsNotices)
      recipient.end(code === "unsupported" ? "conflict" : "overloaded");
    const error = { code, message, retryable: code !== "unsupported" } as const;
    recipient.tell({ type: "error", id: this.title.id, error });
  }

  ack(id: string, nowMs: number): void {
    this.#ack(this.#sequenceOf(id), nowMs);
  }

  nack(id: string): void {
    const { meter, redelivery } = this.#parts;
    const { ledger } = meter;
    const sequence = this.#sequenceOf(id);
    const unsettled = this.#unsettled.get(sequence);
    if (unsettled === undefined) return;
    const { envelope, deliveries, receipt, isLate } = unsettled;
    // It was refused or its time ended before: the durable sends it again anyway.
    if (isLate) {
      ledger.countAck("repeated");
      return;
    }
    ledger.countAck("nacked");
    if (redelivery.isExhausted(deliveries)) {
      this.#remove(sequence);
      this.#giveUp(unsettled, "nack");
    } else {
      this.#use?.settle(receipt, "nack", redelivery.backoffMs(deliveries));
      this.#bytes -= envelope.byteLength;
      unsettled.isLate = true;
    }
    this.#use?.resume();
  }

  working(id: string, nowMs: number): void {
    const sequence = this.#sequenceOf(id);
    // A frame may name a message thousands of times.
    if (this.#unsettled.get(sequence)?.workedOnMs === nowMs) return;
    const unsettled = this.#remove(sequence);
    if (unsettled === undefined) return;
    this.#use?.settle(unsettled.receipt, "working");
    this.#keep(sequence, { ...unsettled, sentMs: nowMs, workedOnMs: nowMs, isLate: false });
    this.#setTimer(nowMs);
  }

  /** Settles the messages in shares of the next turns. */
  ackUpTo(id: string, nowMs: number): boolean {
    const last = this.#sequenceOf(id);
    if (last <= 0 || this.#unsettled.size === 0) return false;
    this.#parts.turnShare.run(this.#recipient, new SteppedJob(this.#ackAll(last, nowMs)));
    return true;
  }

  /** The client disconnects or unsubscribes: the durable sends the unsettled messages to the next client, at once. */
  release(): void {
    this.#isReleased = true;
    this.#parts.timers.clear(this);
    // Stops the durable first, so that it doesn't send the same messages here again.
    this.#use?.release();
    this.#giveBack();
  }

  detach(): void {
    this.release();
  }

  forget(): void {
    this.release();
  }

  /** Messages that are not settled by now are delivered again, and take no room until then. */
  fire(nowMs: number): void {
    for (const unsettled of this.#unsettled.values()) {
      if (unsettled.isLate) continue;
      if (unsettled.sentMs + this.#parts.options.ackTimeoutMs > nowMs) break;
      unsettled.isLate = true;
      this.#bytes -= unsettled.envelope.byteLength;
      this.#parts.meter.ledger.countAck("timed_out");
    }
    this.#setTimer(nowMs);
    this.#use?.resume();
  }

  /** Fires when the next message is late, or when the client may take more again. */
  #setTimer(nowMs: number): void {
    const { timers, options } = this.#parts;
    if (this.#isReleased) return;
    if (!this.#recipient.takes) {
      timers.set(this, nowMs + CONGESTED_MS);
      return;
    }
    if (this.queueIndex !== NOT_QUEUED) return;
    for (const { isLate, sentMs } of this.#unsettled.values()) {
      if (isLate) continue;
      timers.set(this, sentMs + options.ackTimeoutMs);
      return;
    }
  }

  /** Messages that come in one turn are one write. */
  #send(envelope: Envelope): void {
    if (this.#pending.push(envelope) > 1) return;
    queueMicrotask(() => {
      this.#write();
      this.#setTimer(this.#parts.clock.nowMs());
    });
  }

  #write(): void {
    if (this.#pending.length > 0) this.#recipient.resend(this.#pending.splice(0));
  }

  /** Returns 0 or less for ids of other origins. */
  #sequenceOf(id: string): number {
    return this.#origin === undefined ? 0 : sequenceOf(id, this.#origin);
  }

  #ack(sequence: number, nowMs: number): void {
    const unsettled = this.#remove(sequence);
    if (unsettled === undefined) return;
    this.#parts.meter.ledger.acknowledge(1, nowMs - unsettled.sentMs);
    this.#settle(sequence, unsettled.receipt, "ack");
    this.#use?.resume();
  }

  *#ackAll(last: number, nowMs: number): Generator<undefined, void, void> {
    const unsettled = this.#unsettled;
    for (const sequence of unsettled.keys()) {
      // The durable was released meanwhile, or its stream was replaced.
      if (unsettled !== this.#unsettled) return;
      if (sequence <= last) this.#ack(sequence, nowMs);
      yield;
    }
  }

  #settle(sequence: number, receipt: string, as: FinalSettlement): void {
    this.#settled.add(sequence, as, this.#parts.clock.nowMs());
    this.#use?.settle(receipt, as);
  }

  /** It isn't known yet whether the message ever reached the client. */
  #postpone(unsettled: Unsettled): void {
    this.#keep(unsettled.envelope.sequence, { ...unsettled, isLate: true });
    this.#use?.settle(unsettled.receipt, "nack", CONGESTED_MS);
  }

  #giveUp({ envelope, receipt, deliveries }: Unsettled, failure: DeadLetterReason): void {
    const { redelivery, options } = this.#parts;
    const expired = new ExpiredBatch();
    this.#settle(envelope.sequence, receipt, "term");
    redelivery.giveUp(envelope, failure, Math.min(deliveries, options.maxDeliver), expired);
    expired.tell(this.#recipient, this.title.id);
  }

  /** Waits for no message any more. The durable is told so in shares of the next turns. */
  #giveBack(): void {
    const { meter, turnShare } = this.#parts;
    const unsettled = [...this.#unsettled].sort(([one], [other]) => one - other);
    if (unsettled.length === 0) return;
    for (const [sequence, { envelope }] of unsettled) {
      this.#user.unsettled.remove(envelope.origin, sequence, this);
    }
    this.#unsettled = new Map();
    this.#bytes = 0;
    meter.ledger.giveBack(unsettled.length);
    const receipts = unsettled.map(([, { receipt }]) => receipt);
    turnShare.run(this.#recipient, new SteppedJob(this.#refuseAll(receipts), true));
  }

  *#refuseAll(receipts: readonly string[]): Generator<undefined, void, void> {
    for (const receipt of receipts) {
      this.#use?.settle(receipt, "nack");
      yield;
    }
  }

  #keep(sequence: number, unsettled: Unsettled): void {
    this.#unsettled.set(sequence, unsettled);
    this.#user.unsettled.add(unsettled.envelope.origin, sequence, this);
    if (!unsettled.isLate) this.#bytes += unsettled.envelope.byteLength;
  }

  #remove(sequence: number): Unsettled | undefined {
    const unsettled = this.#unsettled.get(sequence);
    if (unsettled === undefined) return undefined;
    this.#unsettled.delete(sequence);
    this.#user.unsettled.remove(unsettled.envelope.origin, sequence, this);
    if (!unsettled.isLate) this.#bytes -= unsettled.envelope.byteLength;
    return unsettled;
  }
}
