import type { GapFrame, ServerFrame } from "../../protocol/server-frames.ts";
import { SmallSet } from "../collections/small-set.ts";
import type { Ledger } from "../metering/ledger.ts";
import type { Clock } from "../ports/clock.ts";
import { PingFrame } from "../ports/ping-frame.ts";
import type { Fanout, Frame } from "../ports/socket.ts";
import type { TextFrame } from "../ports/text-frame.ts";
import type { DenyList } from "../subject/deny-list.ts";
import type { Selection } from "../subject/subject.ts";
import type { Dialect } from "../wire/dialect.ts";
import type { Envelope } from "../wire/envelope.ts";
import { type MarkOptions, Marks } from "./marks.ts";

/** Describes the bytes that a client wants: clients with equal keys want the same, and are in one audience. */
export interface AudienceKey {
  readonly dialect: Dialect;
  readonly compresses: boolean;
  /** Whether each client acknowledges what it gets. */
  readonly acked: boolean;
  /** The lists of subject patterns that the client wants; `"everything"` is what the gateway exposes. */
  readonly lists: "everything" | readonly (readonly string[])[];
  /** The messages of these subjects that the clients may not receive. */
  readonly denied: DenyList;
}

/** Returns the beginning of a topic, which audiences share that differ only in their allowed and denied subjects. */
export function topicHeadOf({ dialect, compresses, acked }: AudienceKey): string {
  return `${dialect.name}${compresses ? "+deflate" : ""}${acked ? "+ack" : ""}`;
}

/** A client, as its audience knows it. */
export interface AudienceMember {
  /**
   * Takes a flush that the client acknowledges.
   *
   * @param frames the envelopes packed for the wire, perhaps with a mark behind them: the same list for all members.
   * @param bytes the sum of the envelopes' lengths, which `Audience.sentBytes` has counted already.
   */
  deliver(envelopes: readonly Envelope[], frames: readonly Frame[], bytes: number): void;
  /** Takes one message into the client's backlog. */
  enqueue(envelope: Envelope): void;
  /** Takes a notice into the client's backlog, in its place among the messages. */
  note(frame: ServerFrame): void;
  /** Records that the client was sent a gap. */
  recordGap(gap: GapFrame): void;
}

/** A notice for the members of many audiences. */
export interface Announcement {
  readonly frame: ServerFrame;
  /** Whether an audience is told it. */
  concerns(audience: Pick<Audience, "key" | "subjects">): boolean;
}

/** The bytes after which the members of an audience are looked at: bytes that the kernel has not taken, and all bytes. */
interface SweepBounds {
  readonly highWaterBytes: number;
  readonly lowWaterBytes: number;
}

/** The parts that all audiences share. */
export interface AudienceParts {
  readonly options: MarkOptions;
  readonly clock: Clock;
  readonly ledger: Ledger;
}

/**
 * The clients that want exactly the same bytes.
 *
 * A message is matched against audiences, not clients. Members whose connection keeps up get each
 * flush in one write; the others have left the fanout's topic and have a backlog each.
 */
export class Audience<Member extends AudienceMember = AudienceMember> {
  readonly topic: string;
  readonly key: AudienceKey;
  /** Members that keep up: they have joined the topic. */
  readonly live = new SmallSet<Member>();
  /** Members that have a backlog. */
  readonly queued = new SmallSet<Member>();
  /** The serial of the message that was added last, so that overlapping patterns add it once. */
  lastSerial = -1;
  /** The number of messages that were written to the live members together. */
  sentMessages = 0;
  /** The last message that was written to the live members. */
  lastSent: Envelope | undefined;
  /** The bytes of all messages and notices that were sent to the live members. */
  sentBytes = 0;
  /** The marks among them, which all live members are sent. */
  readonly marks: Marks;
  /** By how much the buffer of a member that read nothing has grown since the audience began. */
  writtenBytes = 0;
  /** `writtenBytes` and `sentBytes` when the members were last looked at. */
  #sweptAtBytes = 0;
  #sweptAtSentBytes = 0;

  readonly #fanout: Fanout;
  readonly #clock: Clock;
  readonly #ledger: Ledger;
  readonly #isMarked: boolean;
  /** Announcements that its members have not been told; `undefined`: there is none. */
  #untold: Announcement[] | undefined;
  #pending: Envelope[] = [];
  #pendingBytes = 0;
  /** The time at which the first pending message was added. */
  #pendingSinceMs = 0;

  constructor(topic: string, key: AudienceKey, fanout: Fanout, parts: AudienceParts) {
    this.topic = topic;
    this.key = key;
    this.marks = new Marks(parts.options);
    this.#fanout = fanout;
    this.#clock = parts.clock;
    this.#ledger = parts.ledger;
    this.#isMarked = fanout.pings === true && parts.options.markIntervalMs > 0;
  }

  /** The subjects that its members want. */
  get subjects(): Selection {
    return this.key.lists === "everything" ? "everything" : this.key.lists.flat();
  }

  get size(): number {
    return this.live.size + this.queued.size;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /**
   * Takes a message for the next flush, and into the backlog of each member that has one.
   *
   * @returns whether it is the first one since the last flush.
   */
  add(envelope: Envelope): boolean {
    this.tellAnnounced();
    for (const member of this.queued) member.enqueue(envelope);
    if (this.live.size === 0) return false;
    this.#pendingBytes += envelope.byteLength;
    const isFirst = this.#pending.push(envelope) === 1;
    if (isFirst && this.#isMarked) this.#pendingSinceMs = this.#clock.nowMs();
    return isFirst;
  }

  /** Writes what was added to the live members. */
  flush(): void {
    this.#flush();
    this.tellAnnounced();
  }

  /** Takes a notice that is told to all who are members now, behind what was added until now: with `tellAnnounced`, or before it. */
  announce(announcement: Announcement): void {
    if (this.#untold === undefined) this.#untold = [announcement];
    else this.#untold.push(announcement);
  }

  /** Tells the members what was announced, if that wasn't done. */
  tellAnnounced(): void {
    const untold = this.#untold;
    if (untold === undefined) return;
    this.#untold = undefined;
    for (const announcement of untold) {
      if (announcement.concerns(this)) this.#tell(announcement.frame);
    }
  }

  #flush(): void {
    const envelopes = this.#pending;
    if (envelopes.length === 0) return;
    const bytes = this.#pendingBytes;
    this.#pending = [];
    this.#pendingBytes = 0;
    const members = this.live.size;
    if (members === 0) return;
    this.lastSent = envelopes.at(-1);
    this.sentBytes += bytes;
    const frames = this.#withMark(this.key.dialect.pack(envelopes));
    if (this.key.acked) {
      // Each member tracks what it was sent; the frames are still built once.
      for (const member of this.live) member.deliver(envelopes, frames, bytes);
      return;
    }
    this.sentMessages += envelopes.length;
    const refused = this.#write(frames);
    this.#ledger.offer(envelopes.length * members);
    this.#ledger.send(envelopes.length * (members - refused), bytes * (members - refused));
    this.#ledger.drop("abandoned", envelopes.length * refused);
  }

  /** Whether the members are to be looked at, as so much was written since the last time. */
  isToSweep({ highWaterBytes, lowWaterBytes }: SweepBounds): boolean {
    // No member's buffer may grow to where its runtime would drop in silence.
    if (this.writtenBytes - this.#sweptAtBytes >= highWaterBytes) return true;
    // A member that reads slowly sees late what is in flight when it is found to lag.
    return this.#isMarked && this.sentBytes - this.#sweptAtSentBytes >= lowWaterBytes / 2;
  }

  /** The members are looked at. */
  swept(): void {
    this.#sweptAtBytes = this.writtenBytes;
    this.#sweptAtSentBytes = this.sentBytes;
  }

  /** Sends a notice to all members, in its place among the messages. */
  tell(frame: ServerFrame): void {
    this.flush();
    this.#tell(frame);
  }

  #tell(frame: ServerFrame): void {
    const { dialect } = this.key;
    if (!dialect.sendsNotices) return;
    this.#flush();
    if (this.live.size > 0) {
      const notice = dialect.notice(frame);
      this.sentBytes += notice.byteLength;
      this.#write([notice]);
      if (frame.type === "gap") for (const member of this.live) member.recordGap(frame);
    }
    for (const member of this.queued) member.note(frame);
  }

  /** Adds a mark if one is due. */
  #withMark(frames: readonly TextFrame[]): readonly Frame[] {
    if (!this.#isMarked) return frames;
    const nowMs = this.#clock.nowMs();
    if (!this.marks.isDue(this.sentBytes, nowMs)) return frames;
    const { number } = this.marks.add(this.sentBytes, nowMs, this.#pendingSinceMs);
    return [...frames, new PingFrame(number)];
  }

  #write(frames: readonly Frame[]): number {
    const { grownBytes, refused } = this.#fanout.write(this.topic, frames, this.key.compresses);
    this.writtenBytes += grownBytes;
    return refused;
  }
}
