import type { Envelope } from "../wire/envelope.ts";
import { AckState } from "./ack-state.ts";

/** A new window has room for this many messages; the room is doubled as needed. */
const FIRST_ROOM = 16;

/**
 * The messages of one origin that a client was sent and has not acknowledged, by ascending sequence.
 *
 * A message costs a place in five arrays of numbers and a reference to the envelope that all clients share.
 * The index of a place is valid until the next `add`.
 */
export class AckWindow {
  /** The origin of all messages here. */
  readonly origin: string;
  /** The highest sequence that was ever added. */
  newest = 0;
  #sequences = new Float64Array(FIRST_ROOM);
  /** When a message must be acknowledged, or is sent again. */
  #dueMs = new Float64Array(FIRST_ROOM);
  #states = new Uint8Array(FIRST_ROOM);
  /** How often each message was sent. */
  #deliveries = new Uint8Array(FIRST_ROOM);
  /** The bytes of each message, so that envelopes need not be fetched from memory for them. */
  #lengths = new Uint32Array(FIRST_ROOM);
  #envelopes: (Envelope | undefined)[] = [];
  /** The places from `#head` to before `#end` are in use; some may be holes. */
  #head = 0;
  #end = 0;
  #messages = 0;
  #bytes = 0;

  constructor(origin: string) {
    this.origin = origin;
  }

  get messages(): number {
    return this.#messages;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The first place in use; `end` is one after the last. */
  get head(): number {
    return this.#head;
  }

  get end(): number {
    return this.#end;
  }

  /** Adds a message that was sent. @returns `false` if it is here already. */
  add(envelope: Envelope, dueMs: number): boolean {
    const { sequence } = envelope;
    let at = this.#end;
    // Almost always, it is the newest of all.
    if (at > this.#head && sequence <= this.#sequences[at - 1]!) {
      at = this.#lowerBound(sequence);
      if (this.#sequences[at] === sequence) {
        const isHere = this.#states[at] !== AckState.gone;
        if (isHere) this.sentAgain(at, dueMs);
        else this.#put(at, envelope, dueMs);
        return !isHere;
      }
    }
    if (this.#end === this.#sequences.length) {
      this.#makeRoom(1);
      return this.add(envelope, dueMs);
    }
    this.#openPlace(at);
    this.#put(at, envelope, dueMs);
    return true;
  }

  /** Adds the messages from one index to another. @returns how many of them were not here. */
  addAll(envelopes: readonly Envelope[], from: number, to: number, dueMs: number): number {
    const before = this.#messages;
    if (this.#end + to - from > this.#sequences.length) this.#makeRoom(to - from);
    let end = this.#end;
    let last = end > this.#head ? this.#sequences[end - 1]! : -1;
    let bytes = 0;
    let next = from;
    for (; next < to; next++) {
      const envelope = envelopes[next]!;
      const { sequence } = envelope;
      if (sequence <= last) break;
      this.#sequences[end] = sequence;
      this.#dueMs[end] = dueMs;
      this.#states[end] = AckState.sent;
      this.#deliveries[end] = 1;
      this.#lengths[end] = envelope.byteLength;
      this.#envelopes[end] = envelope;
      bytes += envelope.byteLength;
      last = sequence;
      end++;
    }
    const appended = end - this.#end;
    this.#end = end;
    if (appended > 0) this.newest = Math.max(this.newest, last);
    this.#messages += appended;
    this.#bytes += bytes;
    for (; next < to; next++) this.add(envelopes[next]!, dueMs);
    return this.#messages - before;
  }

  /**
   * Removes all messages up to a sequence.
   *
   * @param take called once for each run of messages with the same state and due time.
   */
  removeUpTo(sequence: number, take: (count: number, state: number, dueMs: number) => void): void {
    let at = this.#head;
    while (at < this.#end && this.#sequences[at]! <= sequence) {
      const state = this.#states[at]!;
      const dueMs = this.#dueMs[at]!;
      const from = at;
      let bytes = 0;
      while (
        at < this.#end &&
        this.#sequences[at]! <= sequence &&
        this.#states[at] === state &&
        this.#dueMs[at] === dueMs
      ) {
        if (state !== AckState.gone) bytes += this.#lengths[at]!;
        this.#envelopes[at++] = undefined;
      }
      if (state === AckState.gone) continue;
      this.#messages -= at - from;
      this.#bytes -= bytes;
      take(at - from, state, dueMs);
    }
    this.#startFrom(at);
  }

  /** Returns the place of a message, or -1 if it is not here. */
  find(sequence: number): number {
    const head = this.#head;
    if (head === this.#end) return -1;
    // For a client that gets and acknowledges every message, one of these two places is right.
    let at = head + (sequence - this.#sequences[head]!);
    if (this.#sequences[at] !== sequence || at < head || at >= this.#end) {
      at = this.#lowerBound(sequence);
    }
    const isHere = at < this.#end && this.#sequences[at] === sequence;
    return isHere && this.#states[at] !== AckState.gone ? at : -1;
  }

  /** One of {@linkcode AckState}. */
  stateAt(at: number): number {
    return this.#states[at]!;
  }

  dueAt(at: number): number {
    return this.#dueMs[at]!;
  }

  deliveriesAt(at: number): number {
    return this.#deliveries[at]!;
  }

  envelopeAt(at: number): Envelope {
    return this.#envelopes[at]!;
  }

  /** The message was sent once more. */
  sentAgain(at: number, dueMs: number): void {
    this.#states[at] = AckState.sent;
    this.#deliveries[at] = Math.min(255, this.#deliveries[at]! + 1);
    this.#dueMs[at] = dueMs;
  }

  /** The message has this state until it is due. */
  wait(at: number, state: number, dueMs: number): void {
    this.#states[at] = state;
    this.#dueMs[at] = dueMs;
  }

  /** Makes the place of a message a hole. */
  remove(at: number): void {
    this.#messages--;
    this.#bytes -= this.#lengths[at]!;
    this.#envelopes[at] = undefined;
    this.#states[at] = AckState.gone;
    this.#startFrom(this.#head);
  }

  /** The earliest due time of all messages; infinity if there are none. */
  nextDueMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (let at = this.#head; at < this.#end; at++) {
      if (this.#states[at] !== AckState.gone) next = Math.min(next, this.#dueMs[at]!);
    }
    return next;
  }

  /** Releases memory if the window is empty. */
  shrink(): void {
    if (this.#messages > 0 || this.#sequences.length === FIRST_ROOM) return;
    this.#resize(FIRST_ROOM);
    this.#envelopes = [];
  }

  /** Makes this place, or the first message after it, the head. */
  #startFrom(at: number): void {
    let head = at;
    while (head < this.#end && this.#states[head] === AckState.gone) head++;
    const isEmpty = head === this.#end;
    this.#head = isEmpty ? 0 : head;
    if (isEmpty) this.#end = 0;
  }

  #put(at: number, envelope: Envelope, dueMs: number): void {
    this.#sequences[at] = envelope.sequence;
    this.newest = Math.max(this.newest, envelope.sequence);
    this.#dueMs[at] = dueMs;
    this.#states[at] = AckState.sent;
    this.#deliveries[at] = 1;
    this.#lengths[at] = envelope.byteLength;
    this.#envelopes[at] = envelope;
    this.#messages++;
    this.#bytes += envelope.byteLength;
  }

  get #columns() {
    return [this.#sequences, this.#dueMs, this.#states, this.#deliveries, this.#lengths];
  }

  /** The first place whose sequence is at least this one. */
  #lowerBound(sequence: number): number {
    let low = this.#head;
    let high = this.#end;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#sequences[middle]! < sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Moves the places from here by one: a slower subscription may bring an older message. */
  #openPlace(at: number): void {
    const end = this.#end++;
    if (at === end) return;
    for (const numbers of this.#columns) {
      numbers.copyWithin(at + 1, at, end);
    }
    this.#envelopes.splice(at, 0, undefined);
  }

  /** Closes the holes; if that is not enough, or soon would not be, doubles the room. */
  #makeRoom(count: number): void {
    let to = 0;
    const hasHoles = this.#end - this.#head > this.#messages;
    if (!hasHoles) {
      for (const numbers of this.#columns) {
        numbers.copyWithin(0, this.#head, this.#end);
      }
    }
    for (let at = this.#head; at < this.#end; at++) {
      const envelope = this.#envelopes[at];
      if (envelope === undefined) continue;
      if (hasHoles) {
        this.#sequences[to] = this.#sequences[at]!;
        this.#dueMs[to] = this.#dueMs[at]!;
        this.#states[to] = this.#states[at]!;
        this.#deliveries[to] = this.#deliveries[at]!;
        this.#lengths[to] = this.#lengths[at]!;
      }
      this.#envelopes[to++] = envelope;
    }
    this.#envelopes.length = to;
    this.#head = 0;
    this.#end = to;
    let room = this.#sequences.length;
    while (to + count > room || to > room / 2) room *= 2;
    if (room > this.#sequences.length) this.#resize(room);
  }

  #resize(room: number): void {
    const moved = <T extends Float64Array | Uint32Array | Uint8Array>(old: T, larger: T): T => {
      larger.set(old.subarray(0, Math.min(old.length, room)));
      return larger;
    };
    this.#sequences = moved(this.#sequences, new Float64Array(room));
    this.#dueMs = moved(this.#dueMs, new Float64Array(room));
    this.#states = moved(this.#states, new Uint8Array(room));
    this.#deliveries = moved(this.#deliveries, new Uint8Array(room));
    this.#lengths = moved(this.#lengths, new Uint32Array(room));
  }
}
