import type { Envelope } from "../../src/core/envelope.ts";
import type { ClientSocket, Fanout, FanoutResult, SendResult } from "../../src/core/socket.ts";

/** A socket that keeps what it is given, and whose peer reads only when the test says so. */
export class FakeSocket implements ClientSocket {
  readonly remoteAddress = "test";
  /** What was accepted, in order. */
  readonly received: Envelope[] = [];
  /** Whether the peer reads: when not, everything stays in the buffer. */
  reads = true;
  buffered = 0;
  pings = 0;
  writes = 0;
  closedWith: number | undefined;
  /** Whether the peer has begun to close: from then on nothing is accepted. */
  peerCloses = false;
  terminated = false;
  /** Called inside `close`, as Bun does. */
  onClose: (() => void) | undefined;
  readonly #fanout: FakeFanout;

  constructor(fanout: FakeFanout) {
    this.#fanout = fanout;
  }

  /** The JSON of what was accepted. */
  get texts(): unknown[] {
    return this.received.map(({ text }) => JSON.parse(text));
  }

  /** The payloads of what was accepted. */
  get payloads(): unknown[] {
    return this.texts.map((envelope) => (envelope as { payload: unknown }).payload);
  }

  accept(envelopes: readonly Envelope[]): void {
    this.writes++;
    this.received.push(...envelopes);
    if (!this.reads) for (const { byteLength } of envelopes) this.buffered += byteLength;
  }

  write(envelopes: readonly Envelope[]): SendResult {
    if (this.closedWith !== undefined || this.peerCloses) return "refused";
    this.accept(envelopes);
    return this.buffered === 0 ? "sent" : "buffered";
  }

  bufferedBytes(): number {
    return this.buffered;
  }

  join(topic: string): void {
    this.#fanout.join(topic, this);
  }

  leave(topic: string): void {
    this.#fanout.leave(topic, this);
  }

  readonly ping = (): void => void this.pings++;

  close(code: number): void {
    this.closedWith ??= code;
    this.onClose?.();
  }

  terminate(): void {
    this.terminated = true;
  }
}

/** Writes to sockets one by one, and counts what it is asked to do. */
export class FakeFanout implements Fanout {
  writes = 0;
  readonly #topics = new Map<string, Set<FakeSocket>>();

  join(topic: string, socket: FakeSocket): void {
    this.#topics.set(topic, (this.#topics.get(topic) ?? new Set()).add(socket));
  }

  leave(topic: string, socket: FakeSocket): void {
    this.#topics.get(topic)?.delete(socket);
  }

  write(topic: string, envelopes: readonly Envelope[]): FanoutResult {
    this.writes++;
    let refused = 0;
    for (const socket of this.#topics.get(topic) ?? []) {
      if (socket.write(envelopes) === "refused") refused++;
    }
    return { grownBytes: envelopes.reduce((sum, { byteLength }) => sum + byteLength, 0), refused };
  }
}
