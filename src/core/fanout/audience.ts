import type { GapFrame, ServerFrame } from "../../protocol/server-frames.ts";
import type { Ledger } from "../metering/ledger.ts";
import type { Fanout } from "../ports/socket.ts";
import type { TextFrame } from "../ports/text-frame.ts";
import type { DenyList } from "../subject/deny-list.ts";
import type { Selection } from "../subject/subject.ts";
import type { Dialect } from "../wire/dialect.ts";
import type { Envelope } from "../wire/envelope.ts";

/** What a client wants: clients with equal keys want the same bytes, and are in one audience. */
export interface AudienceKey {
  readonly dialect: Dialect;
  readonly compresses: boolean;
  /** Whether each client acknowledges what it gets. */
  readonly acked: boolean;
  /** The lists of subject patterns that the client wants; `"everything"` is what the gateway exposes. */
  readonly lists: "everything" | readonly (readonly string[])[];
  /** What the clients may not receive of it. */
  readonly denied: DenyList;
}

/** Returns what the topics of all audiences begin with that differ in their subjects, allowed and denied, only. */
export function topicHeadOf({ dialect, compresses, acked }: AudienceKey): string {
  return `${dialect.name}${compresses ? "+deflate" : ""}${acked ? "+ack" : ""}`;
}

/** A client, as its audience knows it. */
export interface AudienceMember {
  /**
   * Takes a flush that the client acknowledges.
   *
   * @param frames the envelopes packed for the wire: the same list for all members.
   * @param bytes the sum of the envelopes' lengths.
   */
  deliver(envelopes: readonly Envelope[], frames: readonly TextFrame[], bytes: number): void;
  /** Takes one message into the client's backlog. */
  enqueue(envelope: Envelope): void;
  /** Takes a notice into the client's backlog, in its place among the messages. */
  note(frame: ServerFrame): void;
  /** Records that the client was sent a gap. */
  recordGap(gap: GapFrame): void;
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
  readonly live = new Set<Member>();
  /** Members that have a backlog. */
  readonly queued = new Set<Member>();
  /** The serial of the message that was added last, so that overlapping patterns add it once. */
  lastSerial = -1;
  /** The number of messages that were written to the live members together. */
  sentMessages = 0;
  /** The last message that was written to the live members. */
  lastSent: Envelope | undefined;
  /** By how much the buffer of a member that read nothing has grown since the audience began. */
  writtenBytes = 0;
  /** `writtenBytes` when the members' buffers were last looked at. */
  sweptAtBytes = 0;

  readonly #fanout: Fanout;
  readonly #ledger: Ledger;
  #pending: Envelope[] = [];
  #pendingBytes = 0;

  constructor(topic: string, key: AudienceKey, fanout: Fanout, ledger: Ledger) {
    this.topic = topic;
    this.key = key;
    this.#fanout = fanout;
    this.#ledger = ledger;
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
    for (const member of this.queued) member.enqueue(envelope);
    if (this.live.size === 0) return false;
    this.#pendingBytes += envelope.byteLength;
    return this.#pending.push(envelope) === 1;
  }

  /** Writes what was added to the live members. */
  flush(): void {
    const envelopes = this.#pending;
    if (envelopes.length === 0) return;
    const bytes = this.#pendingBytes;
    this.#pending = [];
    this.#pendingBytes = 0;
    const members = this.live.size;
    if (members === 0) return;
    this.lastSent = envelopes.at(-1);
    const frames = this.key.dialect.pack(envelopes);
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

  /** Sends a notice to all members, in its place among the messages. */
  tell(frame: ServerFrame): void {
    const { dialect } = this.key;
    if (!dialect.sendsNotices) return;
    this.flush();
    if (this.live.size > 0) {
      this.#write([dialect.notice(frame)]);
      if (frame.type === "gap") for (const member of this.live) member.recordGap(frame);
    }
    for (const member of this.queued) member.note(frame);
  }

  #write(frames: readonly TextFrame[]): number {
    const { grownBytes, refused } = this.#fanout.write(this.topic, frames, this.key.compresses);
    this.writtenBytes += grownBytes;
    return refused;
  }
}
