import type { Policy } from "../../protocol/fields.ts";
import type { ServerFrame } from "../../protocol/server-frames.ts";
import { FirstHeap, type Supersession } from "../collections/first-heap.ts";
import type { DropReason, Ledger } from "../metering/ledger.ts";
import { Envelope, earliest, type Position } from "../wire/envelope.ts";
import { Gap } from "../wire/gap.ts";
import type { QueueBounds } from "./queue-bounds.ts";

/** A value that has waited for so long keeps its turn, however often its subject changes. */
const TURN_MS = 1000;

interface Entry {
  /** A message, the messages left out here, or a notice; nothing when a later value superseded it. */
  content: Envelope | Gap | ServerFrame | undefined;
  readonly policy: Policy;
  /** Since when it waits. */
  sinceMs: number;
  /** Since when something of its subject waits in its place. */
  readonly turnMs: number;
  /** The values that it superseded, if any. */
  supersession?: Supersession | undefined;
}

/** What comes out of a queue, in order. */
export type QueueItem = Envelope | ServerFrame;

/**
 * What waits for one client: first in, first out, within bounds that its policies keep. Counts what
 * it holds and what it leaves out in the ledger.
 */
export class PrivateQueue {
  readonly #bounds: QueueBounds;
  readonly #ledger: Ledger;
  #entries: Entry[] = [];
  /** Where the oldest one stands; what is before it is gone. */
  #head = 0;
  /** The messages that wait. */
  #messages = 0;
  #bytes = 0;
  /** More than these don't wait: the bounds, and for a while what a client that came back has missed. */
  #mostMessages: number;
  #mostBytes: number;
  /** What stands before the oldest message: what was left out there, and notices. */
  #front: (Gap | ServerFrame)[] = [];
  /** By subject, the entry that the next value may supersede. */
  readonly #latest = new Map<string, Entry>();
  /** By origin, the first of all values that were superseded by what waits. */
  readonly #superseded = new Map<string, FirstHeap>();

  constructor(bounds: QueueBounds, ledger: Ledger) {
    this.#bounds = bounds;
    this.#mostMessages = bounds.maxQueueMessages;
    this.#mostBytes = bounds.maxQueueBytes;
    this.#ledger = ledger;
  }

  /** Whether there is nothing to send, gaps and notices included. */
  get isEmpty(): boolean {
    return this.#head === this.#entries.length && this.#front.length === 0;
  }

  get messages(): number {
    return this.#messages;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The oldest of all that waits, was superseded or left out here; a replay may stand behind newer ones. */
  get oldest(): Position | undefined {
    return earliest(this.#firsts());
  }

  /**
   * Takes a message in and does what its policy says where there is no room.
   *
   * @returns the message when it is not in, and the client must be disconnected; it then stands for all
   * that it superseded.
   */
  push(envelope: Envelope, policy: Policy, nowMs: number): Envelope | undefined {
    let content = envelope;
    let turnMs = nowMs;
    let supersession: Supersession | undefined;
    if (policy === "conflate") {
      const before = this.#latest.get(envelope.subject);
      if (before !== undefined && nowMs - before.turnMs < TURN_MS) {
        content = envelope.superseding(before.content as Envelope);
        turnMs = before.turnMs;
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
    const entry: Entry = { content, policy, sinceMs: nowMs, turnMs, supersession };
    this.#add(entry, content);
    if (policy === "conflate") this.#latest.set(content.subject, entry);
    return undefined;
  }

  /** Takes in a message that a client that came back has missed: it was kept for it anyhow. */
  replay(envelope: Envelope, policy: Policy, nowMs: number): void {
    this.#add({ content: envelope, policy, sinceMs: nowMs, turnMs: nowMs }, envelope);
    this.#mostMessages++;
    this.#mostBytes += envelope.byteLength;
  }

  /** Takes in a notice that must keep its place among the messages. */
  note(frame: ServerFrame): void {
    this.#place(frame);
  }

  /**
   * Leaves out what has waited for too long.
   *
   * @returns `false` when the client must be disconnected instead.
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

  /** Takes the oldest out: at least one message, and no more than fit into so many bytes, nor than so many. */
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
    this.#mostMessages = Math.max(this.#bounds.maxQueueMessages, this.#mostMessages - messages);
    this.#mostBytes = Math.max(this.#bounds.maxQueueBytes, this.#mostBytes - bytes);
    this.#compact();
    return taken;
  }

  /** Gives up all messages. */
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

  /** Those of what was left out, and of the messages: of very many, no position is made but the first one's. */
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

  #hasRoomFor({ byteLength }: Envelope): boolean {
    // One message larger than the bound may wait alone: it must go somewhere.
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

  /** A message is no longer here; its entry may still be, and must not keep its memory. */
  #forget({ byteLength, subject }: Envelope, entry: Entry): void {
    entry.content = undefined;
    if (entry.supersession !== undefined) entry.supersession.isOver = true;
    this.#messages--;
    this.#bytes -= byteLength;
    this.#ledger.unqueue(1, byteLength);
    if (this.#latest.get(subject) === entry) this.#latest.delete(subject);
  }

  /** Writes into a message how many it superseded, and into its id how far a client that resumes there goes back. */
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
    // It is of another origin than what it superseded.
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
    this.#ledger.conflate();
    // Holes are closed when they are as many as messages.
    if (this.#entries.length - this.#head > 2 * this.#messages + 64) this.#closeHoles();
  }

  /** Gaps that a hole parted become one. */
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
    this.#ledger.drop("drop_newest", 1);
    this.#leaveOut(new Gap(envelope));
  }

  #leaveOut(gap: Gap): void {
    const last = this.#entries.at(-1)?.content;
    if (this.#head < this.#entries.length && last instanceof Gap) last.join(gap);
    else this.#place(gap);
  }

  #place(content: Gap | ServerFrame): void {
    this.#entries.push({ content, policy: "disconnect", sinceMs: 0, turnMs: 0 });
  }

  /** The oldest message; what stood before it has gone to the front. */
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

  /** @returns `false` when nothing may be left out: what is oldest is for a client to have, or to be cut. */
  #leaveOutOldest(reason: "drop_oldest" | "expired"): boolean {
    const entry = this.#oldest();
    if (entry === undefined || entry.policy === "disconnect") return false;
    const envelope = entry.content as Envelope;
    this.#forget(envelope, entry);
    this.#head++;
    this.#ledger.drop(reason, 1);
    this.#leaveOutInFront(new Gap(envelope));
    this.#compact();
    return true;
  }

  /** Moving what is left to the front pays once half of the array is gone. */
  #compact(): void {
    if (this.#head * 2 < this.#entries.length) return;
    this.#entries = this.#entries.slice(this.#head);
    this.#head = 0;
  }
}
