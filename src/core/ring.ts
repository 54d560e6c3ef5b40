import type { Envelope } from "./envelope.ts";

export interface RingBounds {
  /** 0 keeps nothing, and nobody can come back to where they were. */
  readonly ringMessages: number;
  readonly ringBytes: number;
}

/** The last messages that came, for clients that come back; every message has its place here. */
export class Ring {
  readonly #bounds: RingBounds;
  #envelopes: (Envelope | undefined)[] = [];
  /** Where the oldest one stands; what is before it is gone. */
  #head = 0;
  #bytes = 0;

  constructor(bounds: RingBounds) {
    this.#bounds = bounds;
  }

  get keeps(): boolean {
    return this.#bounds.ringMessages > 0 && this.#bounds.ringBytes > 0;
  }

  get messages(): number {
    return this.#envelopes.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @param envelope the one with the sequence that follows the last one's. */
  push(envelope: Envelope): void {
    this.#envelopes.push(envelope);
    this.#bytes += envelope.byteLength;
    const { ringMessages, ringBytes } = this.#bounds;
    while (this.messages > ringMessages || this.#bytes > ringBytes) {
      this.#bytes -= this.#envelopes[this.#head]!.byteLength;
      this.#envelopes[this.#head++] = undefined;
    }
    // Moving what is left to the front pays once half of the array is gone.
    if (this.#head * 2 > this.#envelopes.length && this.#head > 1024) {
      this.#envelopes = this.#envelopes.slice(this.#head);
      this.#head = 0;
    }
  }

  /** The sequence of the oldest message that is kept, or `undefined` when there is none. */
  get oldest(): number | undefined {
    return this.#envelopes[this.#head]?.sequence;
  }

  /** What is kept of the messages behind a sequence number, in order. */
  after(sequence: number): readonly Envelope[] {
    const { oldest } = this;
    if (oldest === undefined) return [];
    const from = this.#head + Math.max(0, sequence + 1 - oldest);
    return this.#envelopes.slice(from) as Envelope[];
  }
}
