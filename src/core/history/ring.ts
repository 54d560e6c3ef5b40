import { Envelope, type Position } from "../wire/envelope.ts";

export interface RingBounds {
  /** With 0 nothing is kept, and no client can resume. */
  readonly ringMessages: number;
  readonly ringBytes: number;
}

/** The first number of places, a power of two. It doubles when they are full. */
const FIRST_ROOM = 256;
/** While readers need them, up to this many times the usual amount is kept. */
const MOST_WHILE_READ = 2;

/**
 * The last messages that came, for clients that reconnect; every message has its place here.
 *
 * The ring keeps the place of a message's bytes, not the objects around them: most messages are never asked for
 * again, and a garbage collector that finds ten thousand live objects each time costs more than all other work on a
 * message. The first client that wants a message makes its envelope anew, and the ring keeps it for the next one.
 */
export class Ring {
  readonly #bounds: RingBounds;
  #origin = "";
  /** The serial of the oldest message, and the serial after the newest. */
  #oldest = 0;
  #end = 0;
  #bytes = 0;

  // One place for each message, at its serial modulo the number of places.
  #room = FIRST_ROOM;
  #memory: (ArrayBufferLike | undefined)[] = new Array(FIRST_ROOM);
  #offsets = new Uint32Array(FIRST_ROOM);
  #lengths = new Uint32Array(FIRST_ROOM);
  #payloadAts = new Uint32Array(FIRST_ROOM);
  #envelopes: (Envelope | undefined)[] = new Array(FIRST_ROOM);
  /** The origin and the sequence of a stream's message; no origin for messages of the gateway's own count. */
  #streams: (string | undefined)[] = new Array(FIRST_ROOM);
  #sequences = new Float64Array(FIRST_ROOM);
  /** The serials of messages that end their subjects, oldest first. */
  readonly #ending = new Set<number>();
  /** By origin of a followed stream: everything that has come after this sequence is here. */
  readonly #floors = new Map<string, number>();
  readonly #readers = new Set<RingReader>();
  /** The least serial that a reader has not read. */
  #unread = Number.POSITIVE_INFINITY;

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

  /** Adds a message. @param envelope its serial follows the last one's. */
  push({ origin, sequence, serial, bytes, payloadAt, ends }: Envelope): void {
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
    if (ends) this.#ending.add(serial);
    this.#bytes += bytes.length;
    this.#keepBounds();
  }

  /** A message has come that is not kept: of its stream, only what comes after it may be here. */
  skip({ origin, sequence }: Position): void {
    if (this.#floors.has(origin)) this.#floors.set(origin, sequence);
  }

  /** Begins to follow a stream: everything that comes of it from now on is after this sequence. */
  follow(stream: string, sequence: number): void {
    this.#floors.set(stream, sequence);
  }

  /** Ends `follow`. */
  forget(stream: string): void {
    this.#floors.delete(stream);
  }

  /** Returns the sequence after which everything that has come of a followed stream is here. */
  floorOf(stream: string): number | undefined {
    return this.#floors.get(stream);
  }

  /** The serial of the oldest message; `undefined` if there is none. */
  get oldest(): number | undefined {
    return this.messages === 0 ? undefined : this.#oldest;
  }

  /** The serial after the newest message. */
  get end(): number {
    return this.#end;
  }

  /** Returns the origin of a kept message's stream, if that stream is followed. */
  streamAt(serial: number): string | undefined {
    return this.#streams[this.#placeOf(serial)];
  }

  /** Returns the sequence of a kept message in its stream. */
  sequenceAt(serial: number): number {
    return this.#sequences[this.#placeOf(serial)]!;
  }

  /** Begins to read at a message, or at the first kept one after it. */
  read(serial: number): RingReader {
    const reader = new RingReader(serial, this.#readAccess);
    this.#readers.add(reader);
    this.#unread = Math.min(this.#unread, serial);
    return reader;
  }

  /** Returns a kept message. */
  at(serial: number): Envelope {
    const at = this.#placeOf(serial);
    let envelope = this.#envelopes[at];
    if (envelope === undefined) {
      const bytes = new Uint8Array(this.#memory[at]!, this.#offsets[at]!, this.#lengths[at]!);
      const stream = this.#streams[at];
      const position =
        stream === undefined
          ? { origin: this.#origin, sequence: serial }
          : { origin: stream, sequence: this.#sequences[at]!, serial };
      envelope = Envelope.read(position, bytes, this.#payloadAts[at]!, this.#ending.has(serial));
      this.#envelopes[at] = envelope;
    }
    return envelope;
  }

  /** The part of the ring that its readers use. */
  readonly #readAccess: RingAccess = {
    first: () => this.oldest ?? this.#end,
    moved: (reader, before) => {
      if (!this.#readers.delete(reader)) return;
      // The reader that has not moved for the longest is first: the search in `#release` almost always ends with it.
      this.#readers.add(reader);
      this.#release(before);
    },
    closed: (reader) => {
      if (this.#readers.delete(reader)) this.#release(reader.next);
    },
  };

  /** Drops messages that no reader needs any more, as one has moved on from a serial. */
  #release(before: number): void {
    const unread = this.#unread;
    if (before > unread) return;
    this.#unread = Number.POSITIVE_INFINITY;
    for (const { next } of this.#readers) {
      this.#unread = Math.min(this.#unread, next);
      if (this.#unread <= unread) break;
    }
    this.#keepBounds();
  }

  #keepBounds(): void {
    while (this.#isOver(1) && (this.#oldest < this.#unread || this.#isOver(MOST_WHILE_READ))) {
      this.#dropOldest();
    }
  }

  #isOver(times: number): boolean {
    const { ringMessages, ringBytes } = this.#bounds;
    return this.messages > times * ringMessages || this.#bytes > times * ringBytes;
  }

  #dropOldest(): void {
    if (this.#ending.size > 0) this.#ending.delete(this.#oldest);
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

  /** Doubles the number of places. All are in use; the older messages may have to move before the newer ones. */
  #grow(): void {
    const room = this.#room;
    const split = this.#placeOf(this.#oldest);
    // Each of the two parts goes to the first half or to the second.
    const isSecond = (this.#oldest & room) !== 0;
    const older = isSecond ? room : 0;
    const newer = isSecond ? 0 : room;
    const listed = <T>(old: readonly (T | undefined)[]): (T | undefined)[] => {
      const larger = new Array<T | undefined>(2 * room);
      for (let at = 0; at < room; at++) larger[at + (at < split ? newer : older)] = old[at];
      return larger;
    };
    const counted = <T extends Float64Array | Uint32Array>(old: T, larger: T): T => {
      larger.set(old.subarray(split), older + split);
      larger.set(old.subarray(0, split), newer);
      return larger;
    };
    this.#room = 2 * room;
    this.#memory = listed(this.#memory);
    this.#envelopes = listed(this.#envelopes);
    this.#streams = listed(this.#streams);
    this.#sequences = counted(this.#sequences, new Float64Array(2 * room));
    this.#offsets = counted(this.#offsets, new Uint32Array(2 * room));
    this.#lengths = counted(this.#lengths, new Uint32Array(2 * room));
    this.#payloadAts = counted(this.#payloadAts, new Uint32Array(2 * room));
  }
}

/** The part of a ring that its readers use. */
interface RingAccess {
  /** Returns the serial of the oldest message, or of the next one if there is none. */
  first(): number;
  /** A reader has moved on from a serial: messages that only this reader had not read may be dropped. */
  moved(reader: RingReader, before: number): void;
  closed(reader: RingReader): void;
}

/** Reads a ring from one message on. The ring keeps what a reader has not read as long as it can. */
export class RingReader {
  #next: number;
  readonly #ring: RingAccess;

  constructor(next: number, ring: RingAccess) {
    this.#next = next;
    this.#ring = ring;
  }

  /** The serial of the first message that it has not read. */
  get next(): number {
    return this.#next;
  }

  /** How many messages were dropped before it read them. */
  get lost(): number {
    return Math.max(0, this.#ring.first() - this.#next);
  }

  moveTo(serial: number): void {
    const before = this.#next;
    this.#next = serial;
    this.#ring.moved(this, before);
  }

  close(): void {
    this.#ring.closed(this);
  }
}
