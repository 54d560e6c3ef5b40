import { expect } from "bun:test";
import { Ledger } from "../../../src/core/metering/ledger.ts";
import { PrivateQueue } from "../../../src/core/sessions/queue.ts";
import type { QueueBounds } from "../../../src/core/sessions/queue-bounds.ts";
import { Envelope } from "../../../src/core/wire/envelope.ts";
import type { Policy } from "../../../src/protocol/fields.ts";

export const EVERYTHING = Number.POSITIVE_INFINITY;

/** A queue with a clock of its own. */
export class QueueHarness {
  readonly ledger = new Ledger();
  readonly queue: PrivateQueue;
  nowMs = 0;

  constructor(bounds: Partial<QueueBounds> = {}) {
    this.queue = new PrivateQueue(
      { maxQueueBytes: 100_000, maxQueueMessages: 3, maxQueueAgeMs: 60_000, ...bounds },
      this.ledger,
    );
  }

  push(envelope: Envelope, policy: Policy): boolean {
    return this.queue.push(envelope, policy, this.nowMs) === undefined;
  }

  pushAll(envelopes: readonly Envelope[], policy: Policy): boolean[] {
    return envelopes.map((envelope) => this.push(envelope, policy));
  }

  /** What comes out: the numbers of messages with what they superseded, and what else is said. */
  take(maxBytes = EVERYTHING): unknown[] {
    return this.queue.take(maxBytes).map((item) => {
      if (item instanceof Envelope) {
        const { superseded } = JSON.parse(item.text);
        return superseded === undefined ? item.sequence : `${item.sequence} for ${superseded} more`;
      }
      if (item.type !== "gap") return item.type;
      expect(item.reason).toBe("slow");
      return `${item.count} lost, ${item.from} to ${item.to}`;
    });
  }
}
