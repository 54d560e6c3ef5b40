import { PingFrame } from "../../../src/core/ports/ping-frame.ts";
import type {
  ClientSocket,
  Fanout,
  FanoutResult,
  Frame,
  SendResult,
} from "../../../src/core/ports/socket.ts";
import type { TextFrame } from "../../../src/core/ports/text-frame.ts";

/** One JSON object that a client received. */
export type ReceivedFrame = Readonly<Record<string, unknown>> & { readonly type: string };

/** A socket that keeps what is written to it. Its peer reads only when the test says so. */
export class FakeSocket implements ClientSocket {
  readonly remoteAddress = "test";
  readonly compresses = false;
  /** The frames that were accepted, in order. */
  readonly textFrames: TextFrame[] = [];
  buffered = 0;
  pings = 0;
  writes = 0;
  /** The lists of frames that were written, as they were given. */
  readonly lists: (readonly Frame[])[] = [];
  /** The contents of the pings that were written and that the peer has not read. */
  #unread: string[] = [];
  #reads = true;
  /** Set if the kernel takes all that is written, and the peer reads only with `read`. */
  #unreadFrames: Frame[] | undefined;
  /** Called when the peer, which reads, has read pings. */
  onMarks: ((contents: readonly string[]) => void) | undefined;
  /** How often the gateway asked how much is buffered. */
  looks = 0;
  /** All calls but pings, those of the fanout included. */
  calls = 0;
  closedWith: number | undefined;
  /** Whether the peer has begun to close: the socket then refuses every write. */
  peerCloses = false;
  terminated = false;
  /** Called inside `close`, as Bun does. */
  onClose: (() => void) | undefined;
  /** Called inside `terminate`. */
  onTerminate: (() => void) | undefined;
  readonly #fanout: FakeFanout;
  readonly #frames: ReceivedFrame[] = [];
  readonly #envelopes: ReceivedFrame[] = [];
  /** How many of the text frames were parsed. */
  #parsed = 0;

  constructor(fanout: FakeFanout) {
    this.#fanout = fanout;
  }

  /** Whether the peer reads; if not, everything stays in the buffer. */
  get reads(): boolean {
    return this.#reads;
  }

  set reads(reads: boolean) {
    this.#reads = reads;
    this.#readPings();
  }

  /** All envelopes and notices that were written, however many were in one text frame. Each is parsed once. */
  get frames(): readonly ReceivedFrame[] {
    for (; this.#parsed < this.textFrames.length; this.#parsed++) {
      for (const line of this.textFrames[this.#parsed]!.text.split("\n")) {
        const frame = JSON.parse(line) as ReceivedFrame;
        this.#frames.push(frame);
        if (frame.type === "data") this.#envelopes.push(frame);
      }
    }
    return this.#frames;
  }

  /** The envelopes among the frames. */
  get envelopes(): readonly ReceivedFrame[] {
    void this.frames;
    return this.#envelopes;
  }

  /** Their payloads. */
  get payloads(): unknown[] {
    return this.envelopes.map(({ payload }) => payload);
  }

  /** The frames that are no envelopes. */
  get notices(): ReceivedFrame[] {
    return this.frames.filter(({ type }) => type !== "data");
  }

  /** From now on, the kernel takes all that is written, and the peer reads only what the test says. */
  readsOnDemand(): void {
    this.#unreadFrames ??= [];
  }

  /** The bytes that the kernel has and the peer has not read. */
  get unreadBytes(): number {
    return this.#unreadFrames?.reduce((sum, { byteLength }) => sum + byteLength, 0) ?? 0;
  }

  /** The peer reads whole frames of up to so many bytes. @returns how many bytes they had. */
  read(mostBytes = Number.POSITIVE_INFINITY): number {
    const unread = this.#unreadFrames ?? [];
    let bytes = 0;
    for (;;) {
      const frame = unread[0];
      if (frame === undefined || bytes + frame.byteLength > mostBytes) return bytes;
      unread.shift();
      bytes += frame.byteLength;
      if (frame instanceof PingFrame) this.onMarks?.([frame.text]);
      else this.textFrames.push(frame);
    }
  }

  accept(frames: readonly Frame[]): void {
    this.writes++;
    this.lists.push(frames);
    if (this.#unreadFrames !== undefined) {
      this.#unreadFrames.push(...frames);
      return;
    }
    for (const frame of frames) {
      if (frame instanceof PingFrame) this.#unread.push(frame.text);
      else this.textFrames.push(frame);
    }
    this.#readPings();
    if (!this.reads) for (const { byteLength } of frames) this.buffered += byteLength;
  }

  write(frames: readonly Frame[]): SendResult {
    this.calls++;
    if (this.closedWith !== undefined || this.peerCloses) return "refused";
    this.accept(frames);
    return this.buffered === 0 ? "sent" : "buffered";
  }

  bufferedBytes(): number {
    this.calls++;
    this.looks++;
    return this.buffered;
  }

  join(topic: string): void {
    this.calls++;
    this.#fanout.join(topic, this);
  }

  leave(topic: string): void {
    this.calls++;
    this.#fanout.leave(topic, this);
  }

  /** Called inside `ping`, as a peer that answers at once. */
  onPing: (() => void) | undefined;

  readonly ping = (content: string): void => {
    this.pings++;
    if (content !== "" && this.#unreadFrames !== undefined) {
      this.#unreadFrames.push(new PingFrame(Number(content)));
    } else if (content !== "") this.#unread.push(content);
    this.onPing?.();
    this.#readPings();
  };

  #readPings(): void {
    if (!this.reads || this.#unread.length === 0) return;
    this.onMarks?.(this.#unread.splice(0));
  }

  close(code: number): void {
    this.calls++;
    this.closedWith ??= code;
    this.onClose?.();
  }

  terminate(): void {
    this.calls++;
    this.terminated = true;
    this.onTerminate?.();
  }
}

/** Writes to sockets one by one, and counts the writes it is asked for. */
export class FakeFanout implements Fanout {
  readonly pings = true;
  writes = 0;
  readonly #topics = new Map<string, Set<FakeSocket>>();

  join(topic: string, socket: FakeSocket): void {
    this.#topics.set(topic, (this.#topics.get(topic) ?? new Set()).add(socket));
  }

  leave(topic: string, socket: FakeSocket): void {
    this.#topics.get(topic)?.delete(socket);
  }

  write(topic: string, frames: readonly Frame[]): FanoutResult {
    this.writes++;
    let refused = 0;
    for (const socket of this.#topics.get(topic) ?? []) {
      if (socket.write(frames) === "refused") refused++;
    }
    return { grownBytes: frames.reduce((sum, { byteLength }) => sum + byteLength, 0), refused };
  }
}
