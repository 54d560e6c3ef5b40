import type { Client } from "./client.ts";
import type { Envelope } from "./envelope.ts";
import type { Meter } from "./meter.ts";
import type { Fanout } from "./socket.ts";

/**
 * The clients that want exactly the same bytes.
 *
 * A message is matched against audiences, not clients. Members whose connection keeps up get each
 * flush in one write; members that lag have left the fanout's topic and are fed from a queue each.
 */
export class Audience {
  /** The subject patterns that they want; `undefined` means everything the source delivers. */
  readonly subjects: readonly string[] | undefined;
  readonly topic: string;
  /** Members that keep up: those who joined the topic. */
  readonly live = new Set<Client>();
  /** Members that do not. */
  readonly lagging = new Set<Client>();
  /** The message that was last added, so that overlapping patterns add it once. */
  lastSerial = -1;
  /** By how much the buffer of a member that read nothing has grown since the audience began. */
  writtenBytes = 0;
  /** `writtenBytes` at the last look at the members' buffers. */
  sweptAtBytes = 0;

  readonly #fanout: Fanout;
  readonly #meter: Meter;
  #pending: Envelope[] = [];
  #pendingBytes = 0;

  constructor(
    topic: string,
    subjects: readonly string[] | undefined,
    fanout: Fanout,
    meter: Meter,
  ) {
    this.topic = topic;
    this.subjects = subjects;
    this.#fanout = fanout;
    this.#meter = meter;
  }

  get size(): number {
    return this.live.size + this.lagging.size;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Takes a message in for the next flush, and into the queue of each member that lags. */
  add(envelope: Envelope): void {
    if (this.live.size > 0) {
      this.#pending.push(envelope);
      this.#pendingBytes += envelope.byteLength;
    }
    for (const client of this.lagging) client.enqueue(envelope);
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
    const { grownBytes, refused } = this.#fanout.write(this.topic, envelopes);
    this.writtenBytes += grownBytes;
    this.#meter.offered += envelopes.length * members;
    this.#meter.sent += envelopes.length * (members - refused);
    this.#meter.bytesSent += bytes * (members - refused);
    this.#meter.dropped.abandoned += envelopes.length * refused;
  }
}
