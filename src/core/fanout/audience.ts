import type { ServerFrame } from "../../protocol/server-frames.ts";
import type { Ledger } from "../metering/ledger.ts";
import type { Fanout } from "../ports/socket.ts";
import type { Session } from "../sessions/session.ts";
import type { Dialect } from "../wire/dialect.ts";
import type { Envelope } from "../wire/envelope.ts";

/** What makes clients want the same bytes. */
export interface AudienceKey {
  readonly dialect: Dialect;
  readonly compresses: boolean;
  /** Whether they acknowledge what they get, each for itself. */
  readonly acked: boolean;
  /** The lists of subject patterns that they want; `undefined` means everything the endpoint exposes. */
  readonly lists: readonly (readonly string[])[] | undefined;
}

/** What the topics of audiences begin with that want other subjects, and the same in all else. */
export function topicHeadOf({ dialect, compresses, acked }: AudienceKey): string {
  return `${dialect.name}${compresses ? "+deflate" : ""}${acked ? "+ack" : ""}`;
}

/**
 * The clients that want exactly the same bytes.
 *
 * A message is matched against audiences, not clients. Members whose connection keeps up get each
 * flush in one write; the others have left the fanout's topic and are fed from a queue each.
 */
export class Audience {
  readonly topic: string;
  readonly key: AudienceKey;
  /** Members that keep up: those who joined the topic. */
  readonly live = new Set<Session>();
  /** Members that have a queue of their own. */
  readonly queued = new Set<Session>();
  /** The message that was last added, so that overlapping patterns add it once. */
  lastSerial = -1;
  /** How many messages were written to the live members, all at a time. */
  sentMessages = 0;
  /** The last message that was written to the live members. */
  lastSent: Envelope | undefined;
  /** By how much the buffer of a member that read nothing has grown since the audience began. */
  writtenBytes = 0;
  /** `writtenBytes` at the last look at the members' buffers. */
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

  /** The subject patterns that its members want; `undefined` means everything the endpoint exposes. */
  get subjects(): readonly string[] | undefined {
    return this.key.lists?.flat();
  }

  get size(): number {
    return this.live.size + this.queued.size;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /**
   * Takes a message in for the next flush, and into the queue of each member that has one.
   *
   * @returns whether it is the first since the last flush.
   */
  add(envelope: Envelope): boolean {
    for (const client of this.queued) client.enqueue(envelope);
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
      // What became of it must be known for each of them; the same frames are still built once.
      for (const client of this.live) client.deliver(envelopes, frames, bytes);
      return;
    }
    this.sentMessages += envelopes.length;
    const refused = this.#write(frames);
    this.#ledger.offer(envelopes.length * members);
    this.#ledger.send(envelopes.length * (members - refused), bytes * (members - refused));
    this.#ledger.drop("abandoned", envelopes.length * refused);
  }

  /** Tells all members something, in its place among the messages. */
  tell(frame: ServerFrame): void {
    const { dialect } = this.key;
    if (!dialect.tells) return;
    this.flush();
    if (this.live.size > 0) {
      this.#write([dialect.notice(frame)]);
      if (frame.type === "gap") for (const client of this.live) client.recordGap(frame);
    }
    for (const client of this.queued) client.note(frame);
  }

  #write(frames: Parameters<Fanout["write"]>[1]): number {
    const { grownBytes, refused } = this.#fanout.write(this.topic, frames, this.key.compresses);
    this.writtenBytes += grownBytes;
    return refused;
  }
}
