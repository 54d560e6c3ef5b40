import { Envelope, type Position } from "./envelope.ts";

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
  /** The serials of the oldest one, and of the one behind the newest. */
  #oldest = 0;
  #end = 0;
  #bytes = 0;

  // One place for each message, at its serial modulo the room.
  #room = FIRST_ROOM;
  #memory: (ArrayBufferLike | undefined)[] = new Array(FIRST_ROOM);
  #offsets = new Uint32Array(FIRST_ROOM);
  #lengths = new Uint32Array(FIRST_ROOM);
  #payloadAts = new Uint32Array(FIRST_ROOM);
  #envelopes: (Envelope | undefined)[] = new Array(FIRST_ROOM);
  /** Where a message of a stream stands there; nothing for those of the gateway's own count. */
  #streams: (string | undefined)[] = new Array(FIRST_ROOM);
  #sequences = new Float64Array(FIRST_ROOM);
  /** By stream: all that has come behind this sequence is here. */
  readonly #floors = new Map<string, number>();

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

  /** @param envelope the one with the serial that follows the last one's. */
  push({ origin, sequence, serial, bytes, payloadAt }: Envelope): void {
    if (this.messages === 0) this.#oldest = serial;
    else if (this.messages === this.#room) this.#grow();
    this.#end = serial + 1;
    const at = this.#placeOf(serial);
    if (this.#floors.has(origin)) {
      this.#streams[at] = origin;
      this.#sequences[at] = sequence;
    } else this.#origin = origin;
    this.#memory[at] = bytes.buffer;
    this.#offsets[at] = bytes.byteOffset;
    this.#lengths[at] = bytes.length;
    this.#payloadAts[at] = payloadAt;
    this.#bytes += bytes.length;
    const { ringMessages, ringBytes } = this.#bounds;
    while (this.messages > ringMessages || this.#bytes > ringBytes) this.#dropOldest();
  }

  /** A message comes that is not kept: of a followed stream, only what is behind it may be here. */
  skip({ origin, sequence }: Position): void {
    if (this.#floors.has(origin)) this.#floors.set(origin, sequence);
  }

  /** Begins to follow a stream: all that comes of it from now on stands behind that sequence. */
  follow(stream: string, sequence: number): void {
    this.#floors.set(stream, sequence);
  }

  /** Ends `follow`. */
  forget(stream: string): void {
    this.#floors.delete(stream);
  }

  /** All that has come of a followed stream behind this sequence is here. */
  floorOf(stream: string): number | undefined {
    return this.#floors.get(stream);
  }

  /** What is kept of streams behind these sequences, in order. */
  behind(sequences: ReadonlyMap<string, number>): readonly Envelope[] {
    const envelopes: Envelope[] = [];
    const open = new Set(sequences.keys());
    for (let serial = this.#end - 1; serial >= this.#oldest && open.size > 0; serial--) {
      const at = this.#placeOf(serial);
      const stream = this.#streams[at];
      if (stream === undefined || !open.has(stream)) continue;
      if (this.#sequences[at]! > sequences.get(stream)!) envelopes.push(this.#envelopeOf(serial));
      else open.delete(stream);
    }
    return envelopes.reverse();
  }

  /** The serial of the oldest message that is kept, or `undefined` when there is none. */
  get oldest(): number | undefined {
    return this.messages === 0 ? undefined : this.#oldest;
  }

  /** What is kept of the messages behind a serial, in order. */
  after(serial: number): readonly Envelope[] {
    const envelopes: Envelope[] = [];
    for (let next = Math.max(this.#oldest, serial + 1); next < this.#end; next++) {
      envelopes.push(this.#envelopeOf(next));
    }
    return envelopes;
  }

  #envelopeOf(serial: number): Envelope {
    const at = this.#placeOf(serial);
    let envelope = this.#envelopes[at];
    if (envelope === undefined) {
      const bytes = new Uint8Array(this.#memory[at]!, this.#offsets[at]!, this.#lengths[at]!);
      const stream = this.#streams[at];
      const position =
        stream === undefined
          ? { origin: this.#origin, sequence: serial }
          : { origin: stream, sequence: this.#sequences[at]!, serial };
      envelope = Envelope.read(position, bytes, this.#payloadAts[at]!);
      this.#envelopes[at] = envelope;
    }
    return envelope;
  }

  #dropOldest(): void {
    const at = this.#placeOf(this.#oldest++);
    this.#bytes -= this.#lengths[at]!;
    const stream = this.#streams[at];
    if (stream !== undefined) {
      this.#streams[at] = undefined;
      const floor = this.#floors.get(stream);
      if (floor !== undefined) this.#floors.set(stream, Math.max(floor, this.#sequences[at]!));
    }
    this.#memory[at] = undefined;
    this.#envelopes[at] = undefined;
  }

  #placeOf(serial: number): number {
    return serial & (this.#room - 1);
  }

  #grow(): void {
    const places = Array.from({ length: this.messages }, (_, index) => this.#oldest + index);
    const from = places.map((serial) => this.#placeOf(serial));
    this.#room *= 2;
    const to = places.map((serial) => this.#placeOf(serial));
    const moved = <T extends { [index: number]: unknown }>(old: T, larger: T): T => {
      for (const [index, place] of to.entries()) larger[place] = old[from[index]!];
      return larger;
    };
    this.#memory = moved(this.#memory, new Array(this.#room));
    this.#envelopes = moved(this.#envelopes, new Array(this.#room));
    this.#streams = moved(this.#streams, new Array(this.#room));
    this.#sequences = moved(this.#sequences, new Float64Array(this.#room));
    this.#offsets = moved(this.#offsets, new Uint32Array(this.#room));
    this.#lengths = moved(this.#lengths, new Uint32Array(this.#room));
    this.#payloadAts = moved(this.#payloadAts, new Uint32Array(this.#room));
  }
}
