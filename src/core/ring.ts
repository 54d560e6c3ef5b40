import { Envelope } from "./envelope.ts";

export interface RingBounds {
  /** 0 keeps nothing, and nobody can come back to where they were. */
  readonly ringMessages: number;
  readonly ringBytes: number;
}

/** Room for so many messages at first, a power of two; it is doubled as they come. */
const FIRST_ROOM = 256;

/**
 * The last messages that came, for clients that come back; every message has its place here.
 *
 * What is kept is where a message's bytes stand, not the objects around them: most messages are never
 * asked for again, and a garbage collector that finds ten thousand of them alive each time is dearer
 * than all the rest that we do with a message. Envelopes are made anew for the first client that
 * wants them, and kept for the next.
 */
export class Ring {
  readonly #bounds: RingBounds;
  #origin = "";
  /** The sequences of the oldest one, and of the one behind the newest. */
  #oldest = 0;
  #end = 0;
  #bytes = 0;

  // One place for each message, at its sequence modulo the room.
  #room = FIRST_ROOM;
  #memory: (ArrayBufferLike | undefined)[] = new Array(FIRST_ROOM);
  #offsets = new Uint32Array(FIRST_ROOM);
  #lengths = new Uint32Array(FIRST_ROOM);
  #payloadAts = new Uint32Array(FIRST_ROOM);
  #envelopes: (Envelope | undefined)[] = new Array(FIRST_ROOM);

  constructor(bounds: RingBounds) {
    this.#bounds = bounds;
  }

  get keeps(): boolean {
    return this.#bounds.ringMessages > 0 && this.#bounds.ringBytes > 0;
  }

  get messages(): number {
    return this.#end - this.#oldest;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @param envelope the one with the sequence that follows the last one's. */
  push({ origin, sequence, bytes, payloadAt }: Envelope): void {
    if (this.messages === 0) this.#oldest = sequence;
    else if (this.messages === this.#room) this.#grow();
    this.#origin = origin;
    this.#end = sequence + 1;
    const at = this.#placeOf(sequence);
    this.#memory[at] = bytes.buffer;
    this.#offsets[at] = bytes.byteOffset;
    this.#lengths[at] = bytes.length;
    this.#payloadAts[at] = payloadAt;
    this.#bytes += bytes.length;
    const { ringMessages, ringBytes } = this.#bounds;
    while (this.messages > ringMessages || this.#bytes > ringBytes) this.#dropOldest();
  }

  /** The sequence of the oldest message that is kept, or `undefined` when there is none. */
  get oldest(): number | undefined {
    return this.messages === 0 ? undefined : this.#oldest;
  }

  /** What is kept of the messages behind a sequence number, in order. */
  after(sequence: number): readonly Envelope[] {
    const envelopes: Envelope[] = [];
    for (let next = Math.max(this.#oldest, sequence + 1); next < this.#end; next++) {
      envelopes.push(this.#envelopeOf(next));
    }
    return envelopes;
  }

  #envelopeOf(sequence: number): Envelope {
    const at = this.#placeOf(sequence);
    let envelope = this.#envelopes[at];
    if (envelope === undefined) {
      const bytes = new Uint8Array(this.#memory[at]!, this.#offsets[at]!, this.#lengths[at]!);
      const position = { origin: this.#origin, sequence };
      envelope = Envelope.read(position, bytes, this.#payloadAts[at]!);
      this.#envelopes[at] = envelope;
    }
    return envelope;
  }

  #dropOldest(): void {
    const at = this.#placeOf(this.#oldest++);
    this.#bytes -= this.#lengths[at]!;
    this.#memory[at] = undefined;
    this.#envelopes[at] = undefined;
  }

  #placeOf(sequence: number): number {
    return sequence & (this.#room - 1);
  }

  #grow(): void {
    const places = Array.from({ length: this.messages }, (_, index) => this.#oldest + index);
    const from = places.map((sequence) => this.#placeOf(sequence));
    this.#room *= 2;
    const to = places.map((sequence) => this.#placeOf(sequence));
    const moved = <T extends { [index: number]: unknown }>(old: T, larger: T): T => {
      for (const [index, place] of to.entries()) larger[place] = old[from[index]!];
      return larger;
    };
    this.#memory = moved(this.#memory, new Array(this.#room));
    this.#envelopes = moved(this.#envelopes, new Array(this.#room));
    this.#offsets = moved(this.#offsets, new Uint32Array(this.#room));
    this.#lengths = moved(this.#lengths, new Uint32Array(this.#room));
    this.#payloadAts = moved(this.#payloadAts, new Uint32Array(this.#room));
  }
}
