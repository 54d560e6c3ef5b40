import type { Ledger } from "../metering/ledger.ts";
import type { Publisher } from "../ports/source.ts";
import { backoffMs } from "../timing/backoff.ts";
import type { Envelope } from "../wire/envelope.ts";
import { type DeadLetterReason, deadLetterOf } from "./dead-letter.ts";
import type { ExpiredBatch } from "./expired-batch.ts";

export interface RedeliveryOptions {
  /** A message that was sent this often is given up; not if its client has just reconnected. */
  readonly maxDeliver: number;
  /** How long a failed message waits before it is sent the second time; then twice as long each time. */
  readonly redeliveryBackoffMs: number;
}

interface RedeliveryParts {
  readonly ledger: Ledger;
  /** Publishes messages that are given up, if there is a subject for them. */
  readonly deadLetters: Publisher | undefined;
  readonly deadLetterSubject: string | undefined;
  /** From 0 to 1. */
  random(): number;
}

/** Decides what happens to a message whose delivery failed: it is sent again after a back-off, or given up. */
export class RedeliveryPolicy {
  readonly #options: RedeliveryOptions;
  readonly #parts: RedeliveryParts;

  constructor(options: RedeliveryOptions, parts: RedeliveryParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** Whether a message that was sent this often is not sent again. */
  isExhausted(deliveries: number): boolean {
    return deliveries >= this.#options.maxDeliver;
  }

  /** How long a message waits that failed this often. */
  backoffMs(deliveries: number): number {
    return backoffMs(this.#options.redeliveryBackoffMs, deliveries, this.#parts.random());
  }

  /** Gives a message up: counts it as lost, publishes it as a dead letter, and adds it to a batch for the client. */
  giveUp(
    envelope: Envelope,
    failure: DeadLetterReason,
    deliveries: number,
    batch: ExpiredBatch,
  ): void {
    const { ledger, deadLetters, deadLetterSubject } = this.#parts;
    ledger.lose("max_deliver", 1);
    batch.add(envelope);
    if (deadLetterSubject === undefined) return;
    deadLetters?.publish(deadLetterOf(envelope, deadLetterSubject, failure, deliveries));
    ledger.countDeadLetter();
  }
}
