import type { ClientFrame } from "../../protocol/client-frames.ts";
import type { Ledger, LossReason } from "../metering/ledger.ts";
import type { AckRecipient, AckTracker, AckTrackerParts } from "./ack-tracker.ts";
import { type DurableParts, type DurableTitle, DurableTracker } from "./durable-tracker.ts";
import { MemoryTracker } from "./memory-tracker.ts";
import { UnsettledIndex } from "./unsettled-index.ts";

/** A frame in which a client says what it did with messages. */
export type AckFrame = Extract<ClientFrame, { type: "ack" | "nack" | "working" }>;

/**
 * All that a client must acknowledge, in at-least-once: one tracker for the messages of its subscriptions, and
 * one for each durable that it uses. Finds the tracker that an acknowledgement belongs to.
 */
export class SessionAcks {
  /** Follows the messages of the subscriptions. */
  readonly memory: MemoryTracker;
  readonly #ledger: Ledger;
  /** Most clients use no durable. */
  #durables: readonly DurableTracker[] = [];
  #unsettled: UnsettledIndex | undefined;

  constructor(parts: AckTrackerParts, recipient: AckRecipient) {
    this.#ledger = parts.meter.ledger;
    this.memory = new MemoryTracker(parts, recipient);
  }

  get durables(): readonly DurableTracker[] {
    return this.#durables;
  }

  /** The number of unacknowledged messages of all trackers. */
  get messages(): number {
    return this.#durables.reduce((sum, { messages }) => sum + messages, this.memory.messages);
  }

  /** Begins to follow the messages of a durable. */
  addDurable(title: DurableTitle, recipient: AckRecipient, parts: DurableParts): DurableTracker {
    this.#unsettled ??= new UnsettledIndex();
    const durable: DurableTracker = new DurableTracker(title, parts, {
      recipient,
      unsettled: this.#unsettled,
      ended: () => this.#remove(durable),
    });
    this.#durables = [...this.#durables, durable];
    return durable;
  }

  /** Ends the use of a durable. @returns whether the client used it. */
  removeDurable(id: string): boolean {
    const durable = this.#durables.find(({ title }) => title.id === id);
    if (durable === undefined) return false;
    this.#remove(durable);
    durable.release();
    return true;
  }

  /**
   * Takes in the acknowledgement of one message as most clients write it, without reading it as JSON.
   *
   * @returns `false` for every other frame.
   */
  acceptPlainAck(data: string, nowMs: number): boolean {
    // A durable's messages have the same ids as those of a subscription to the same stream.
    return this.#durables.length === 0 && this.memory.acceptPlainAck(data, nowMs);
  }

  accept(frame: AckFrame, nowMs: number): void {
    if ("upto" in frame) {
      this.#ackUpTo(frame.upto, nowMs);
      return;
    }
    const { type } = frame;
    const ids = "ids" in frame ? frame.ids : [frame.id];
    for (const id of ids) {
      const tracker = this.#trackerOf(id);
      if (tracker !== undefined) tracker[type](id, nowMs);
      else this.#ledger.countAck("repeated");
    }
  }

  /** The connection ended, and the client may reconnect: it must ask for its durables again. */
  detach(): void {
    this.memory.detach();
    this.#releaseDurables((durable) => durable.detach());
  }

  /** The client is back: it gets the messages that it has not acknowledged. */
  attach(recipient: AckRecipient): void {
    this.memory.attach(recipient);
  }

  /** The client doesn't reconnect. */
  forget(reason: LossReason): void {
    this.memory.forget(reason);
    this.#releaseDurables((durable) => durable.forget());
  }

  /** @returns `undefined` if a durable sent the message, and it is settled. */
  #trackerOf(id: string): AckTracker | undefined {
    const unsettled = this.#unsettled;
    if (unsettled === undefined || this.#durables.length === 0) return this.memory;
    const durable = unsettled.holderOf(id);
    if (durable !== undefined) return durable;
    return this.memory.hasSent(id) || !unsettled.mayHaveSent(id) ? this.memory : undefined;
  }

  #ackUpTo(id: string, nowMs: number): void {
    let isOfDurable = false;
    for (const durable of this.#durables) {
      if (durable.ackUpTo(id, nowMs)) isOfDurable = true;
    }
    // Messages of the same stream may have come through a subscription, too.
    if (!isOfDurable || this.memory.messages > 0) this.memory.ackUpTo(id, nowMs);
  }

  #remove(durable: DurableTracker): void {
    this.#durables = this.#durables.filter((other) => other !== durable);
  }

  #releaseDurables(release: (durable: DurableTracker) => void): void {
    const durables = this.#durables;
    this.#durables = [];
    for (const durable of durables) release(durable);
  }
}
