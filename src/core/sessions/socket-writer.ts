import type { Audience } from "../fanout/audience.ts";
import type { ClientSocket } from "../ports/socket.ts";
import type { TextFrame } from "../ports/text-frame.ts";

/** Writes to one socket, and knows whether the peer takes what was written, also by the topic that it has joined. */
export class SocketWriter {
  readonly socket: ClientSocket;
  /** The audience whose topic is joined. */
  #audience: Audience | undefined;
  /** `writtenBytes` of the audience when its topic was joined. */
  #joinedAtBytes = 0;
  /** Bytes written since the connection began, without those that came by the topic that is joined now. */
  #handedBytes = 0;
  /** How many of all written bytes the kernel had taken when that number last grew. */
  #takenBytes = 0;
  #takenAtMs: number;

  constructor(socket: ClientSocket, nowMs: number) {
    this.socket = socket;
    this.#takenAtMs = nowMs;
  }

  get bufferedBytes(): number {
    return this.socket.bufferedBytes();
  }

  /** From now on, the socket gets what is written to the audience's topic; not what was added before. */
  join(audience: Audience): void {
    audience.flush();
    this.#audience = audience;
    this.#joinedAtBytes = audience.writtenBytes;
    this.socket.join(audience.topic);
  }

  /** Ends `join`, after what was added to the audience until now. */
  leave(): void {
    if (this.#audience === undefined) return;
    this.#audience.flush();
    this.#handedBytes = this.#totalBytes();
    this.socket.leave(this.#audience.topic);
    this.#audience = undefined;
  }

  /** @returns `false` if the socket takes nothing any more. */
  write(frames: readonly TextFrame[]): boolean {
    if (frames.length === 0) return true;
    const before = this.bufferedBytes;
    if (this.socket.write(frames) === "refused") return false;
    this.#handedBytes += Math.max(0, this.bufferedBytes - before);
    return true;
  }

  /** For how many milliseconds the peer has taken nothing of what is buffered for it. */
  stalledMs(nowMs: number): number {
    const buffered = this.bufferedBytes;
    const taken = this.#totalBytes() - buffered;
    if (buffered === 0 || taken > this.#takenBytes) {
      this.#takenBytes = taken;
      this.#takenAtMs = nowMs;
    }
    return nowMs - this.#takenAtMs;
  }

  /** See `Connection.forgivePause`. */
  forgivePause(pausedMs: number, nowMs: number): void {
    this.#takenAtMs = Math.min(nowMs, this.#takenAtMs + pausedMs);
  }

  #totalBytes(): number {
    const joined =
      this.#audience === undefined ? 0 : this.#audience.writtenBytes - this.#joinedAtBytes;
    return this.#handedBytes + joined;
  }
}
