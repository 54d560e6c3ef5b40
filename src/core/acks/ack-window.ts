import type { Envelope } from "../wire/envelope.ts";
import { AckState } from "./ack-state.ts";

/** Room for so many messages at first; it is doubled as they come. */
const FIRST_ROOM = 16;

/**
 * What one client was sent of one origin and has not acknowledged, by ascending sequence.
 *
 * A message costs a place in five arrays of numbers and a reference to the envelope that all clients
 * share. Places are named by an index, which is good until the next `add`.
 */
export class AckWindow {
  /** That of all messages here. */
  readonly origin: string;
  /** The highest sequence that was ever here. */
  newest = 0;
  #sequences = new Float64Array(FIRST_ROOM);
  /** When something is to be done about a message. */
  #dueMs = new Float64Array(FIRST_ROOM);
  #standings = new Uint8Array(FIRST_ROOM);
  /** How often each was sent. */
  #deliveries = new Uint8Array(FIRST_ROOM);
  /** Their bytes: asking the envelopes would mean to fetch each of them from memory once more. */
  #lengths = new Uint32Array(FIRST_ROOM);
  #envelopes: (Envelope | undefined)[] = [];
  /** The places in use are those from here to there, holes among them. */
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

  /** The first place in use, and the one behind the last. */
  get head(): number {
    return this.#head;
  }

  get end(): number {
    return this.#end;
  }

  /**
   * Takes a message in that was sent.
   *
   * @returns `false` when it is here already, as it was sent in another way before.
   */
  add(envelope: Envelope, dueMs: number): boolean {
    const { sequence } = envelope;
    let at = this.#end;
    // Almost always the newest of all.
    if (at > this.#head && sequence <= this.#sequences[at - 1]!) {
      at = this.#lowerBound(sequence);
      if (this.#sequences[at] === sequence) {
        const isHere = this.#standings[at] !== AckState.gone;
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

  /** Takes in those of messages that were sent together. @returns how many of them were not here. */
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
      this.#standings[end] = AckState.sent;
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
   * Takes all out up to a message.
   *
   * @param take learns of those that stand behind one another and are due at the same time, how many
   * they are.
   */
  removeUpTo(
    sequence: number,
    take: (count: number, standing: number, dueMs: number) => void,
  ): void {
    let at = this.#head;
    while (at < this.#end && this.#sequences[at]! <= sequence) {
      const standing = this.#standings[at]!;
      const dueMs = this.#dueMs[at]!;
      const from = at;
      let bytes = 0;
      while (
        at < this.#end &&
        this.#sequences[at]! <= sequence &&
        this.#standings[at] === standing &&
        this.#dueMs[at] === dueMs
      ) {
        if (standing !== AckState.gone) bytes += this.#lengths[at]!;
        this.#envelopes[at++] = undefined;
      }
      if (standing === AckState.gone) continue;
      this.#messages -= at - from;
      this.#bytes -= bytes;
      take(at - from, standing, dueMs);
    }
    this.#startFrom(at);
  }

  /** The place of a message that is here, or -1. */
  find(sequence: number): number {
    const head = this.#head;
    if (head === this.#end) return -1;
    // Where a client gets every message, and acknowledges each, one of these two hits.
    let at = head + (sequence - this.#sequences[head]!);
    if (this.#sequences[at] !== sequence || at < head || at >= this.#end) {
      at = this.#lowerBound(sequence);
    }
    const isHere = at < this.#end && this.#sequences[at] === sequence;
    return isHere && this.#standings[at] !== AckState.gone ? at : -1;
  }

  /** One of {@linkcode AckState}. */
  standingAt(at: number): number {
    return this.#standings[at]!;
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

  /** It was sent once more. */
  sentAgain(at: number, dueMs: number): void {
    this.#standings[at] = AckState.sent;
    this.#deliveries[at] = Math.min(255, this.#deliveries[at]! + 1);
    this.#dueMs[at] = dueMs;
  }

  /** It is to be sent again, later. */
  wait(at: number, standing: number, dueMs: number): void {
    this.#standings[at] = standing;
    this.#dueMs[at] = dueMs;
  }

  /** It is not waited for any more. */
  remove(at: number): void {
    this.#messages--;
    this.#bytes -= this.#lengths[at]!;
    this.#envelopes[at] = undefined;
    this.#standings[at] = AckState.gone;
    this.#startFrom(this.#head);
  }

  /** When something is to be done next; infinite when there is nothing. */
  nextDueMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (let at = this.#head; at < this.#end; at++) {
      if (this.#standings[at] !== AckState.gone) next = Math.min(next, this.#dueMs[at]!);
    }
    return next;
  }

  /** Gives memory back, where there is nothing that it is for. */
  shrink(): void {
    if (this.#messages > 0 || this.#sequences.length === FIRST_ROOM) return;
    this.#resize(FIRST_ROOM);
    this.#envelopes = [];
  }

  /** Nothing is left before a place. */
  #startFrom(at: number): void {
    let head = at;
    while (head < this.#end && this.#standings[head] === AckState.gone) head++;
    const isEmpty = head === this.#end;
    this.#head = isEmpty ? 0 : head;
    if (isEmpty) this.#end = 0;
  }

  #put(at: number, envelope: Envelope, dueMs: number): void {
    this.#sequences[at] = envelope.sequence;
    this.newest = Math.max(this.newest, envelope.sequence);
    this.#dueMs[at] = dueMs;
    this.#standings[at] = AckState.sent;
    this.#deliveries[at] = 1;
    this.#lengths[at] = envelope.byteLength;
    this.#envelopes[at] = envelope;
    this.#messages++;
    this.#bytes += envelope.byteLength;
  }

  get #columns() {
    return [this.#sequences, this.#dueMs, this.#standings, this.#deliveries, this.#lengths];
  }

  /** The first place whose sequence is not smaller. */
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

  /** Moves what is behind a place by one: messages may come late, where one subscription is slower. */
  #openPlace(at: number): void {
    const end = this.#end++;
    if (at === end) return;
    for (const numbers of this.#columns) {
      numbers.copyWithin(at + 1, at, end);
    }
    this.#envelopes.splice(at, 0, undefined);
  }

  /** Closes the holes; where that is not enough, or soon will not be, the room is doubled. */
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
        this.#standings[to] = this.#standings[at]!;
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
    this.#standings = moved(this.#standings, new Uint8Array(room));
    this.#deliveries = moved(this.#deliveries, new Uint8Array(room));
    this.#lengths = moved(this.#lengths, new Uint32Array(room));
  }
}
