import type { Latencies } from "./latency.ts";
import { nowUs } from "./wall-clock.ts";

/** A reader's report besides the number of messages. */
export interface StreamEvents {
  /** A ping (RFC 6455 §5.5.2) with its content, or one of the protocol inside. */
  ping(content?: string): void;
  /** The server will send every message that is published from now on. */
  subscribed(): void;
  /** JetStream continues when something is published there. */
  wantsAnswer(subject: string): void;
  /** A close frame, or an error of the protocol inside. */
  fault(what: string): void;
}

/** Which messages' latency is taken, and where it goes. */
export interface Sampling {
  /** One message of this many is sampled. */
  readonly every: number;
  latencies: Latencies;
}

const STAMP = Buffer.from('"t":');
const DIGIT_0 = 0x30;
/** Opcodes of control frames (RFC 6455 §5.5), which are the highest. */
const CLOSE = 8;
const PING = 9;

/**
 * Counts the messages in what a server sends after the handshake, by hopping from header to
 * header: payloads are not touched, except for the stamp of the few that are sampled.
 */
export abstract class StreamReader {
  messages = 0;
  protected readonly events: StreamEvents;
  readonly #sampling: Sampling;
  /** The beginning of a frame's header, if the last chunk ended within it. */
  #header: Buffer | undefined;
  /** Bytes of the current frame that have not come yet. */
  #frameLeft = 0;
  #opcode = 0;
  /** The part of a ping's content that has come. */
  #ping = "";
  #untilSample: number;

  /** @param phase where the sampling begins, so that clients sample different messages. */
  constructor(events: StreamEvents, sampling: Sampling, phase: number) {
    this.events = events;
    this.#sampling = sampling;
    this.#untilSample = 1 + (phase % sampling.every);
  }

  /** @param received the caller may overwrite it when this returns. */
  read(received: Buffer): void {
    let chunk = received;
    if (this.#header !== undefined) {
      chunk = Buffer.concat([this.#header, received]);
      this.#header = undefined;
    }
    const end = chunk.length;
    let at = Math.min(this.#frameLeft, end);
    if (at > 0) this.#advance(chunk, 0, at);
    while (at < end) {
      const short = at + 1 < end ? chunk[at + 1]! : 127;
      const headerLength = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (at + headerLength > end) {
        this.#header = Buffer.from(chunk.subarray(at));
        return;
      }
      this.#opcode = chunk[at]! & 0x0f;
      // No server sends frames of 4 GiB.
      this.#frameLeft =
        headerLength === 2
          ? short
          : headerLength === 4
            ? (chunk[at + 2]! << 8) | chunk[at + 3]!
            : chunk.readUInt32BE(at + 6);
      at += headerLength;
      if (this.#opcode === CLOSE) this.events.fault("closed by the server");
      else if (this.#opcode < CLOSE) this.frame(chunk, at, at + this.#frameLeft);
      const next = Math.min(at + this.#frameLeft, end);
      this.#advance(chunk, at, next);
      at = next;
    }
  }

  /** Called when a data frame begins; it may end behind the chunk. */
  protected abstract frame(chunk: Buffer, start: number, end: number): void;
  /** Called with each part of a data frame; it never ends behind the chunk. */
  protected abstract payload(chunk: Buffer, start: number, end: number): void;

  /** Counts a message, and takes its latency if it is its turn and the whole message is in the chunk. */
  protected count(chunk: Buffer, start: number, end: number): void {
    this.messages++;
    if (--this.#untilSample > 0) return;
    if (end > chunk.length) {
      this.#untilSample = 1;
      return;
    }
    const { every, latencies } = this.#sampling;
    this.#untilSample = every;
    const stampUs = readStamp(chunk, start, end);
    if (stampUs > 0) latencies.add(nowUs() - stampUs);
  }

  #advance(chunk: Buffer, start: number, end: number): void {
    this.#frameLeft -= end - start;
    if (this.#opcode < CLOSE) this.payload(chunk, start, end);
    else if (this.#opcode === PING) this.#readPing(chunk, start, end);
  }

  #readPing(chunk: Buffer, start: number, end: number): void {
    this.#ping += chunk.toString("latin1", start, end);
    if (this.#frameLeft > 0) return;
    this.events.ping(this.#ping);
    this.#ping = "";
  }
}

/** Returns the number behind `"t":`, or 0. */
function readStamp(chunk: Buffer, start: number, end: number): number {
  let at = chunk.indexOf(STAMP, start) + STAMP.length;
  if (at < start + STAMP.length || at > end) return 0;
  let value = 0;
  for (; at < end; at++) {
    const digit = chunk[at]! - DIGIT_0;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
  }
  return value;
}
