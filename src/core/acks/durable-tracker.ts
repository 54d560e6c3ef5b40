import type { Policy } from "../../protocol/fields.ts";
import type { GapFrame } from "../../protocol/server-frames.ts";
import type {
  DurableListener,
  DurableMessage,
  DurableRefusal,
  DurableState,
  DurableUse,
  Settlement,
} from "../ports/source.ts";
import type { Session } from "../sessions/session.ts";
import { backoffMs } from "../timing/backoff.ts";
import { NOT_QUEUED, type QueuedTimer } from "../timing/timer-queue.ts";
import { SteppedJob, type TurnShare } from "../timing/turn-share.ts";
import { cursorOf, type Envelope, type EnvelopeEncoder } from "../wire/envelope.ts";
import { Gap, unknownGap } from "../wire/gap.ts";
import { sequenceOf } from "./ack-id.ts";
import type { AckTrackerParts } from "./ack-tracker.ts";
import { type DeadLetterReason, deadLetterOf } from "./dead-letter.ts";
import { type End, RecentlySettled } from "./recently-settled.ts";

export interface DurableParts extends AckTrackerParts {
  readonly encoder: EnvelopeEncoder;
  readonly turnShare: TurnShare;
}

/** A client that takes nothing now is asked again after so long. */
const CONGESTED_MS = 100;

/** What a client calls its durable, and what the durable has. */
export interface DurableTitle {
  /** That of the subscription. */
  readonly id: string;
  readonly name: string;
  readonly subjects: readonly string[];
  /** That of the endpoint: here it decides nothing, as what is too much waits in the stream. */
  readonly policy: Policy;
}

/** A message that the client was sent and has not settled. */
interface Unsettled {
  readonly envelope: Envelope;
  readonly receipt: string;
  readonly deliveries: number;
  readonly sentMs: number;
  /** Whether its time is over: it comes again, and nothing waits for it. */
  isLate: boolean;
}

/**
 * A client's use of a durable: hands its messages to the client, and what the client says of them to
 * the durable, which knows when they are to come again. Nothing of it is kept here but what the
 * client has and has not settled.
 */
export class DurableTracker implements DurableListener, QueuedTimer {
  queueIndex = NOT_QUEUED;
  dueMs = 0;
  readonly title: DurableTitle;
  readonly #client: Session;
  readonly #parts: DurableParts;
  #use: DurableUse | undefined;
  #origin: string | undefined;
  /** By sequence, those that were sent last at the end. */
  #unsettled = new Map<number, Unsettled>();
  readonly #settled: RecentlySettled;
  /** Of those that are not late. */
  #bytes = 0;
  #newest = 0;
  /** To be written together. */
  #due: Envelope[] = [];

  constructor(title: DurableTitle, client: Session, parts: DurableParts) {
    this.title = title;
    this.#client = client;
    this.#parts = parts;
    this.#settled = new RecentlySettled(parts.options.ackTimeoutMs);
  }

  /** @param use where messages are settled. */
  begin(use: DurableUse): void {
    this.#use = use;
  }

  /** How many the client has and has not settled. */
  get messages(): number {
    return this.#unsettled.size;
  }

  get roomBytes(): number {
    if (this.#client.takes) return this.#parts.options.maxInflightBytes - this.#bytes;
    // Nothing the client does may tell when it takes more: it is asked, and the source is told.
    this.#wait(this.#parts.clock.nowMs());
    return 0;
  }

  get settledUpTo(): number | undefined {
    if (this.#newest === 0) return undefined;
    let behind = this.#newest;
    for (const sequence of this.#unsettled.keys()) behind = Math.min(behind, sequence - 1);
    return behind;
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
      // Of what is gone, nobody knows how much it wanted.
      const to = cursorOf({ origin, sequence: first - 1 });
      gaps.push(unknownGap(cursorOf({ origin, sequence: sequence + 1 }), to, "expired"));
    }
    this.#origin = origin;
    const { id, name, subjects, policy } = this.title;
    const subscribed = { type: "subscribed", id, sub: id, subjects, policy, from } as const;
    if (before === undefined) this.#client.tell({ ...subscribed, durable: name }, ...gaps);
    else for (const gap of gaps) this.#client.tell(gap);
  }

  missed(first: number, last: number): void {
    const origin = this.#origin;
    if (origin === undefined) return;
    this.#write();
    const from = cursorOf({ origin, sequence: first });
    const to = cursorOf({ origin, sequence: last });
    // Some may be of other subjects, or were deleted one by one.
    const count = last - first + 1;
    this.#client.tell({ type: "gap", from, to, count, reason: "expired", exact: false });
  }

  message(message: DurableMessage): void {
    const { clock, meter, encoder, options } = this.#parts;
    const { ledger } = meter;
    const { position, deliveries, receipt } = message;
    const wallMs = clock.wallMs();
    meter.countReceived(message.data.length, wallMs);
    const { sequence } = position;
    const end = this.#settled.get(sequence);
    if (end !== undefined) {
      // It was sent again before the durable knew, or what it was told was lost.
      this.#settle(sequence, receipt, end);
      return;
    }
    const written = encoder.encode(message, position, message.timestampMs ?? wallMs);
    const before = this.#remove(sequence);
    if (before === undefined) {
      ledger.offer(1);
      ledger.send(1, written.byteLength);
      ledger.track(1);
    }
    const sentMs = clock.nowMs();
    const unsettled = { envelope: written, receipt, deliveries, sentMs, isLate: false };
    this.#newest = Math.max(this.#newest, sequence);
    // Who has just come has it once, however often others had.
    if (before !== undefined && deliveries > options.maxDeliver) {
      if (this.#client.heardSince(before.sentMs)) this.#giveUp(unsettled, "ack_timeout");
      else this.#putOff({ ...before, receipt });
      return;
    }
    if (before !== undefined) ledger.redeliver(1);
    this.#keep(sequence, unsettled);
    this.#bytes += written.byteLength;
    const again = deliveries - 1;
    this.#send(again > 0 ? written.with("redelivery", again) : written);
  }

  taken(): void {
    this.#client.end("taken_over");
  }

  refused(code: DurableRefusal, message: string): void {
    const { meter, timers } = this.#parts;
    meter.refused[code]++;
    timers.clear(this);
    this.#giveBack();
    const client = this.#client;
    client.durables = client.durables.filter((other) => other !== this);
    if (!client.dialect.tells) client.end(code === "unsupported" ? "conflict" : "overloaded");
    const error = { code, message, retryable: code !== "unsupported" } as const;
    client.tell({ type: "error", id: this.title.id, error });
  }

  /** What the client says of one message that it has not settled. */
  settle(sequence: number, as: Exclude<Settlement, "term">, nowMs: number): void {
    const unsettled = this.#unsettled.get(sequence);
    if (unsettled === undefined) return;
    if (as === "ack") this.#ack(sequence, nowMs);
    else if (as === "nack") this.#nack(sequence, unsettled);
    else {
      this.#use?.settle(unsettled.receipt, "working");
      this.#remove(sequence);
      this.#keep(sequence, { ...unsettled, sentMs: nowMs, isLate: false });
      this.#bytes += unsettled.envelope.byteLength;
      this.#wait(nowMs);
    }
  }

  /**
   * The client is done with all up to a message, which are settled in shares of the next turns.
   *
   * @returns whether there may be any of this durable.
   */
  ackUpTo(id: string, nowMs: number): boolean {
    const origin = this.#origin;
    const last = origin === undefined ? 0 : sequenceOf(id, origin);
    if (last <= 0 || this.#unsettled.size === 0) return false;
    this.#parts.turnShare.run(this.#client, new SteppedJob(this.#ackAll(last, nowMs)));
    return true;
  }

  *#ackAll(last: number, nowMs: number): Generator<undefined, void, void> {
    const unsettled = this.#unsettled;
    for (const sequence of unsettled.keys()) {
      // It was released meanwhile, or its stream is another one.
      if (unsettled !== this.#unsettled) return;
      if (sequence <= last) this.#ack(sequence, nowMs);
      yield;
    }
  }

  /** The client is gone, or wants it no more: what it has not settled goes to whoever comes next, at once. */
  release(): void {
    this.#parts.timers.clear(this);
    // First nothing more is asked for: what is given back must not come here once more.
    this.#use?.release();
    this.#giveBack();
  }

  /** What is not settled by now comes again, and takes no room until then. */
  fire(nowMs: number): void {
    for (const unsettled of this.#unsettled.values()) {
      if (unsettled.isLate) continue;
      if (unsettled.sentMs + this.#parts.options.ackTimeoutMs > nowMs) break;
      unsettled.isLate = true;
      this.#bytes -= unsettled.envelope.byteLength;
      this.#parts.meter.ledger.countAck("timed_out");
    }
    this.#wait(nowMs);
    this.#use?.resume();
  }

  /** Until the next one is late, or the client may take more again. */
  #wait(nowMs: number): void {
    const { timers, options } = this.#parts;
    if (!this.#client.takes) {
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

  /** All that comes in one turn is one write. */
  #send(envelope: Envelope): void {
    if (this.#due.push(envelope) > 1) return;
    queueMicrotask(() => {
      this.#write();
      this.#wait(this.#parts.clock.nowMs());
    });
  }

  #write(): void {
    if (this.#due.length > 0) this.#client.resend(this.#due.splice(0));
  }

  #ack(sequence: number, nowMs: number): void {
    const { receipt, sentMs } = this.#remove(sequence)!;
    this.#parts.meter.ledger.acknowledge(1, nowMs - sentMs);
    this.#settle(sequence, receipt, "ack");
    this.#use?.resume();
  }

  /** Tells the durable that a message is at its end. */
  #settle(sequence: number, receipt: string, as: End): void {
    this.#settled.add(sequence, as, this.#parts.clock.nowMs());
    this.#use?.settle(receipt, as);
  }

  #nack(sequence: number, unsettled: Unsettled): void {
    const { meter, options, random } = this.#parts;
    const { ledger } = meter;
    const { deliveries, receipt, isLate } = unsettled;
    // It comes again anyhow, as it was refused already, or its time is over.
    if (isLate) {
      ledger.countAck("repeated");
      return;
    }
    ledger.countAck("nacked");
    if (deliveries >= options.maxDeliver) {
      this.#remove(sequence);
      this.#giveUp(unsettled, "nack");
    } else {
      this.#use?.settle(
        receipt,
        "nack",
        backoffMs(options.redeliveryBackoffMs, deliveries, random()),
      );
      this.#bytes -= unsettled.envelope.byteLength;
      unsettled.isLate = true;
    }
    this.#use?.resume();
  }

  /** Whether it ever reached the client is not known yet. */
  #putOff(unsettled: Unsettled): void {
    this.#keep(unsettled.envelope.sequence, { ...unsettled, isLate: true });
    this.#use?.settle(unsettled.receipt, "nack", CONGESTED_MS);
  }

  #giveUp({ envelope, receipt, deliveries }: Unsettled, failure: DeadLetterReason): void {
    const { meter, deadLetters, deadLetterSubject, options } = this.#parts;
    const { ledger } = meter;
    this.#settle(envelope.sequence, receipt, "term");
    ledger.lose("max_deliver", 1);
    this.#client.tell(...new Gap(envelope, "max_deliver").frames);
    if (deadLetterSubject === undefined) return;
    const times = Math.min(deliveries, options.maxDeliver);
    deadLetters?.publish(deadLetterOf(envelope, deadLetterSubject, failure, times));
    ledger.countDeadLetter();
  }

  /** Nothing is waited for any more: the durable is told so in shares of the next turns. */
  #giveBack(): void {
    const { meter, turnShare } = this.#parts;
    const unsettled = [...this.#unsettled].sort(([one], [other]) => one - other);
    if (unsettled.length === 0) return;
    for (const [sequence, { envelope }] of unsettled) {
      this.#client.unsettled.remove(envelope.origin, sequence, this);
    }
    this.#unsettled = new Map();
    this.#bytes = 0;
    meter.ledger.giveBack(unsettled.length);
    const receipts = unsettled.map(([, { receipt }]) => receipt);
    turnShare.run(this.#client, new SteppedJob(this.#refuseAll(receipts), true));
  }

  *#refuseAll(receipts: readonly string[]): Generator<undefined, void, void> {
    for (const receipt of receipts) {
      this.#use?.settle(receipt, "nack");
      yield;
    }
  }

  #keep(sequence: number, unsettled: Unsettled): void {
    this.#unsettled.set(sequence, unsettled);
    this.#client.unsettled.add(unsettled.envelope.origin, sequence, this);
  }

  #remove(sequence: number): Unsettled | undefined {
    const unsettled = this.#unsettled.get(sequence);
    if (unsettled === undefined) return undefined;
    this.#unsettled.delete(sequence);
    this.#client.unsettled.remove(unsettled.envelope.origin, sequence, this);
    if (!unsettled.isLate) this.#bytes -= unsettled.envelope.byteLength;
    return unsettled;
  }
}
