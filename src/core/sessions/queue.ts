import type { Policy } from "../../protocol/fields.ts";
import type { ServerFrame } from "../../protocol/server-frames.ts";
import { FirstHeap, type Supersession } from "../collections/first-heap.ts";
import type { DropReason, Ledger } from "../metering/ledger.ts";
import { Envelope, earliest, type Position } from "../wire/envelope.ts";
import { Gap } from "../wire/gap.ts";
import type { QueueBounds } from "./queue-bounds.ts";

interface Entry {
  /** A message, a gap, or a notice; `undefined` if a later value superseded the message. */
  content: Envelope | Gap | ServerFrame | undefined;
  readonly policy: Policy;
  /** When it was queued. */
  sinceMs: number;
  /** The value keeps its place from when this many messages have left the queue, however often its subject changes. */
  readonly turn: number;
  /** The values that it superseded. */
  supersession?: Supersession | undefined;
}

/** An item of a queue. */
export type QueueItem = Envelope | ServerFrame;

/**
 * The queue of one client: first in, first out. If it is full, the policy of the message applies. It counts
 * queued and dropped messages in the ledger.
 */
export class PrivateQueue {
  /** Whether messages were superseded or dropped. */
  hasLeftOut = false;
  readonly #bounds: QueueBounds;
  readonly #ledger: Ledger;
  #entries: Entry[] = [];
  /** The index of the oldest entry; earlier ones are gone. */
  #head = 0;
  /** The number of messages that were sent or left out from the front. */
  #left = 0;
  /** The number of queued messages. */
  #messages = 0;
  #bytes = 0;
  /** The current bounds: the configured ones, plus room for replayed messages until they are sent. */
  #mostMessages: number;
  #mostBytes: number;
  /** The gaps and notices before the oldest message. */
  #front: (Gap | ServerFrame)[] = [];
  /** By subject, the entry that the next value supersedes. */
  readonly #latest = new Map<string, Entry>();
  /** By origin, the first of all values that queued messages superseded. */
  readonly #superseded = new Map<string, FirstHeap>();

  constructor(bounds: QueueBounds, ledger: Ledger) {
    this.#bounds = bounds;
    this.#mostMessages = bounds.maxQueueMessages;
    this.#mostBytes = bounds.maxQueueBytes;
    this.#ledger = ledger;
  }

  /** Whether nothing is queued, gaps and notices included. */
  get isEmpty(): boolean {
    return this.#head === this.#entries.length && this.#front.length === 0;
  }

  get messages(): number {
    return this.#messages;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Since when the first message in the queue has waited; `undefined`: there is none. */
  get oldestMs(): number | undefined {
    for (let at = this.#head; at < this.#entries.length; at++) {
      const { content, sinceMs } = this.#entries[at]!;
      if (content instanceof Envelope) return sinceMs;
    }
    return undefined;
  }

  /** The oldest of all queued, superseded and dropped messages; a replayed message may be queued after newer ones. */
  get oldest(): Position | undefined {
    return earliest(this.#firsts());
  }

  /**
   * Queues a message. If the queue is full, the policy applies.
   *
   * @returns the message if it was not queued and the client must be disconnected; it then also represents all
   * messages that it superseded.
   */
  push(envelope: Envelope, policy: Policy, nowMs: number): Envelope | undefined {
    let content = envelope;
    let turn = this.#nextTurn;
    let supersession: Supersession | undefined;
    if (policy === "conflate") {
      const before = this.#latest.get(envelope.subject);
      const superseded = before?.content as Envelope | undefined;
      if (before !== undefined && superseded?.ends === false && this.#left < before.turn) {
        content = envelope.superseding(superseded);
        turn = before.turn;
        supersession = before.supersession;
        before.supersession = undefined;
        this.#supersede(before);
      }
    }
    while (!this.#hasRoomFor(content)) {
      if (policy === "drop-newest") {
        this.#leaveOutNewest(content);
        return undefined;
      }
      if (policy === "disconnect" || !this.#leaveOutOldest("drop_oldest")) return content;
    }
    const entry: Entry = { content, policy, sinceMs: nowMs, turn, supersession };
    this.#add(entry, content);
    if (policy === "conflate") this.#latest.set(content.subject, entry);
    return undefined;
  }

  /** Queues a replayed message, which doesn't count against the bounds. */
  replay(envelope: Envelope, policy: Policy, nowMs: number): void {
    this.#add({ content: envelope, policy, sinceMs: nowMs, turn: this.#nextTurn }, envelope);
    this.#mostMessages++;
    this.#mostBytes += envelope.byteLength;
  }

  /** Queues a notice that must keep its place among the messages. */
  note(frame: ServerFrame): void {
    this.#place(frame);
  }

  /**
   * Drops messages that have waited for too long.
   *
   * @returns `false` if the policy disconnects the client instead.
   */
  expire(nowMs: number): boolean {
    for (;;) {
      const oldest = this.#oldest();
      if (oldest === undefined || nowMs - oldest.sinceMs <= this.#bounds.maxQueueAgeMs) return true;
      if (!this.#leaveOutOldest("expired")) return false;
    }
  }

  /** See `Session.forgivePause`. */
  forgivePause(pausedMs: number, nowMs: number): void {
    for (const entry of this.#entries) entry.sinceMs = Math.min(nowMs, entry.sinceMs + pausedMs);
  }

  /** Removes and returns the oldest items: at least one message, and at most so many bytes and messages. */
  take(maxBytes: number, maxMessages = Number.POSITIVE_INFINITY): QueueItem[] {
    const taken: QueueItem[] = this.#front.flatMap((item) =>
      item instanceof Gap ? item.frames : item,
    );
    this.#front = [];
    let bytes = 0;
    let messages = 0;
    for (; this.#head < this.#entries.length; this.#head++) {
      const entry = this.#entries[this.#head]!;
      const { content } = entry;
      if (content === undefined) continue;
      if (content instanceof Gap) {
        taken.push(...content.frames);
      } else if ("type" in content) {
        taken.push(content);
      } else {
        if (messages > 0 && bytes + content.byteLength > maxBytes) break;
        if (messages === maxMessages) break;
        messages++;
        bytes += content.byteLength;
        this.#forget(content, entry);
        taken.push(this.#written(content));
      }
    }
    this.#left += messages;
    this.#shrinkRoom(messages, bytes);
    this.#compact();
    return taken;
  }

  /** Drops the messages that the client may not receive any more. No gap declares them: the client is told what it lost. */
  dropForbidden(mayReceive: (subject: string) => boolean): void {
    let dropped = 0;
    let bytes = 0;
    for (let at = this.#head; at < this.#entries.length; at++) {
      const entry = this.#entries[at]!;
      const { content } = entry;
      if (!(content instanceof Envelope) || mayReceive(content.subject)) continue;
      this.#forget(content, entry);
      dropped++;
      bytes += content.byteLength;
    }
    if (dropped === 0) return;
    this.#ledger.drop("forbidden", dropped);
    this.#shrinkRoom(dropped, bytes);
    this.#closeHoles();
  }

  /** Drops all messages. */
  clear(reason: DropReason): void {
    this.#ledger.unqueue(this.#messages, this.#bytes);
    this.#ledger.drop(reason, this.#messages);
    this.#messages = 0;
    this.#bytes = 0;
    this.#entries = [];
    this.#head = 0;
    this.#front = [];
    this.#latest.clear();
    this.#superseded.clear();
  }

  /** Messages have left: replayed ones need their room no more. */
  #shrinkRoom(messages: number, bytes: number): void {
    this.#mostMessages = Math.max(this.#bounds.maxQueueMessages, this.#mostMessages - messages);
    this.#mostBytes = Math.max(this.#bounds.maxQueueBytes, this.#mostBytes - bytes);
  }

  /** The first positions of gaps and messages. Only the first message gets a position, as there may be very many. */
  *#firsts(): Generator<Position, void, void> {
    for (const item of this.#front) if (item instanceof Gap) yield item.first;
    let first: Envelope | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (let at = this.#head; at < this.#entries.length; at++) {
      const { content } = this.#entries[at]!;
      if (content instanceof Gap) yield content.first;
      else if (content instanceof Envelope && content.firstSerial < least) {
        least = content.firstSerial;
        first = content;
      }
    }
    if (first !== undefined) yield first.first;
  }

  /** The turn of a value that is queued now: until then, it would have left the queue if it had kept its first place. */
  get #nextTurn(): number {
    return this.#left + this.#messages + 1;
  }

  #hasRoomFor({ byteLength }: Envelope): boolean {
    // A single message may be larger than the bound.
    if (this.#messages === 0) return true;
    return this.#messages < this.#mostMessages && this.#bytes + byteLength <= this.#mostBytes;
  }

  #add(entry: Entry, content: Envelope): void {
    const { byteLength } = content;
    this.#entries.push(entry);
    if (content.superseded > 0) this.#stand(entry, content);
    this.#messages++;
    this.#bytes += byteLength;
    this.#ledger.queue(byteLength);
  }

  /** A message has left; its entry may remain, and must not keep the message in memory. */
  #forget({ byteLength, subject }: Envelope, entry: Entry): void {
    entry.content = undefined;
    if (entry.supersession !== undefined) entry.supersession.isOver = true;
    this.#messages--;
    this.#bytes -= byteLength;
    this.#ledger.unqueue(1, byteLength);
    if (this.#latest.get(subject) === entry) this.#latest.delete(subject);
  }

  /** Writes the number of superseded messages into a message, and the first of them into its id, for a client that resumes there. */
  #written(content: Envelope): Envelope {
    const { superseded, origin, sequence } = content;
    const written = superseded > 0 ? content.with("superseded", superseded) : content;
    const first = this.#superseded.get(origin)?.first;
    return first !== undefined && first < sequence ? written.goingBackBefore(first) : written;
  }

  /** Until an entry is sent that superseded others, the ids of sent messages lie before the first of those. */
  #stand(entry: Entry, { origin, firstSequence }: Envelope): void {
    const { supersession } = entry;
    if (supersession !== undefined && supersession.first === firstSequence) return;
    // It has another origin than the messages that it superseded.
    if (supersession !== undefined) supersession.isOver = true;
    entry.supersession = { first: firstSequence, isOver: false };
    let heap = this.#superseded.get(origin);
    if (heap === undefined) {
      heap = new FirstHeap();
      this.#superseded.set(origin, heap);
    }
    heap.add(entry.supersession);
  }

  #supersede(entry: Entry): void {
    this.#forget(entry.content as Envelope, entry);
    this.hasLeftOut = true;
    this.#ledger.conflate();
    // Removes holes once there are as many as messages.
    if (this.#entries.length - this.#head > 2 * this.#messages + 64) this.#closeHoles();
  }

  /** Joins gaps that only a hole separates. */
  #closeHoles(): void {
    const entries = this.#entries;
    const head = this.#head;
    this.#entries = [];
    this.#head = 0;
    for (let index = head; index < entries.length; index++) {
      const entry = entries[index]!;
      if (entry.content instanceof Gap) this.#leaveOut(entry.content);
      else if (entry.content !== undefined) this.#entries.push(entry);
    }
  }

  #leaveOutNewest(envelope: Envelope): void {
    this.hasLeftOut = true;
    this.#ledger.drop("drop_newest", 1);
    this.#leaveOut(new Gap(envelope));
  }

  #leaveOut(gap: Gap): void {
    const last = this.#entries.at(-1)?.content;
    if (this.#head < this.#entries.length && last instanceof Gap) last.join(gap);
    else this.#place(gap);
  }

  #place(content: Gap | ServerFrame): void {
    this.#entries.push({ content, policy: "disconnect", sinceMs: 0, turn: 0 });
  }

  /** Returns the oldest message, after moving the gaps and notices before it to the front. */
  #oldest(): Entry | undefined {
    for (; this.#head < this.#entries.length; this.#head++) {
      const entry = this.#entries[this.#head]!;
      const { content } = entry;
      if (content === undefined) continue;
      if (content instanceof Gap) this.#leaveOutInFront(content);
      else if ("type" in content) this.#front.push(content);
      else return entry;
    }
    return undefined;
  }

  #leaveOutInFront(gap: Gap): void {
    const last = this.#front.at(-1);
    if (last instanceof Gap) last.join(gap);
    else this.#front.push(gap);
  }

  /** @returns `false` if nothing may be dropped, because the policy of the oldest message is `disconnect`. */
  #leaveOutOldest(reason: "drop_oldest" | "expired"): boolean {
    const entry = this.#oldest();
    if (entry === undefined || entry.policy === "disconnect") return false;
    const envelope = entry.content as Envelope;
    this.#forget(envelope, entry);
    this.#head++;
    this.#left++;
    this.hasLeftOut = true;
    this.#ledger.drop(reason, 1);
    this.#leaveOutInFront(new Gap(envelope));
    this.#compact();
    return true;
  }

  /** Moves the rest to the front once half of the array is unused. */
  #compact(): void {
    if (this.#head * 2 < this.#entries.length) return;
    this.#entries = this.#entries.slice(this.#head);
    this.#head = 0;
  }
}
