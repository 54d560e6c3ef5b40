import type { Envelope } from "./envelope.ts";

export interface QueueBounds {
  readonly maxBytes: number;
  readonly maxMessages: number;
}

/** What waits for one client that lags: first in, first out, within bounds. */
export class PrivateQueue {
  readonly #bounds: QueueBounds;
  #envelopes: Envelope[] = [];
  /** Where the oldest one stands; what is before it is gone. */
  #head = 0;
  #bytes = 0;

  constructor(bounds: QueueBounds) {
    this.#bounds = bounds;
  }

  get length(): number {
    return this.#envelopes.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Takes a message in, or returns `false` and leaves everything as it was: a bound is reached. */
  push(envelope: Envelope): boolean {
    if (this.length >= this.#bounds.maxMessages) return false;
    // One message larger than the bound may wait alone: it must go somewhere.
    if (this.length > 0 && this.#bytes + envelope.byteLength > this.#bounds.maxBytes) return false;
    this.#envelopes.push(envelope);
    this.#bytes += envelope.byteLength;
    return true;
  }

  /** Takes the oldest messages out, at least one and no more than fit into so many bytes. */
  take(maxBytes: number): Envelope[] {
    let bytes = 0;
    let end = this.#head;
    while (end < this.#envelopes.length) {
      const next = this.#envelopes[end]!.byteLength;
      if (end > this.#head && bytes + next > maxBytes) break;
      bytes += next;
      end++;
    }
    const taken = this.#envelopes.slice(this.#head, end);
    this.#head = end;
    this.#bytes -= bytes;
    // Moving what is left to the front pays once half of the array is gone.
    if (this.#head * 2 >= this.#envelopes.length) {
      this.#envelopes = this.#envelopes.slice(this.#head);
      this.#head = 0;
    }
    return taken;
  }
}
