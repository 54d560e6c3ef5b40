import type { Latencies } from "./latency.ts";
import type { WallClock } from "./wall-clock.ts";

/** What a reader finds besides messages. */
export interface Findings {
  /** A ping (RFC 6455 §5.5.2) or NATS' own. */
  ping(): void;
  /** NATS has answered our ping: it knows the subscription. */
  pong(): void;
  /** A close frame, or an error of NATS. */
  fault(what: string): void;
}

/** Which messages are looked into, and who learns what they say. */
export interface Sampling {
  /** One message of so many is looked into. */
  readonly every: number;
  readonly clock: WallClock;
  readonly latencies: Latencies;
}

const STAMP = Buffer.from('"t":');
const DIGIT_0 = 0x30;
const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;
/** The first two letters of NATS' lines. */
const MSG = 0x4d53;
const PING = 0x5049;
const PONG = 0x504f;
const ERROR = 0x2d45;

/**
 * Counts the messages in what a server sends after the handshake, by hopping from header to
 * header: payloads are not touched, save for the few that are looked into for their stamp.
 */
export abstract class StreamReader {
  messages = 0;
  protected readonly findings: Findings;
  readonly #sampling: Sampling;
  /** The beginning of a frame's header, when the last chunk ended within it. */
  #header: Buffer | undefined;
  /** Bytes of the present frame that are still to come. */
  #frameLeft = 0;
  #opcode = 0;
  #untilSample: number;

  /** @param phase where in the sampling it begins, so that not all clients look into the same message. */
  constructor(findings: Findings, sampling: Sampling, phase: number) {
    this.findings = findings;
    this.#sampling = sampling;
    this.#untilSample = 1 + (phase % sampling.every);
  }

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
      if (this.#opcode >= 8) this.#control();
      else this.frame(chunk, at, at + this.#frameLeft);
      const next = Math.min(at + this.#frameLeft, end);
      this.#advance(chunk, at, next);
      at = next;
    }
  }

  /** A data frame begins; it may end behind the chunk. */
  protected abstract frame(chunk: Buffer, start: number, end: number): void;
  /** What has come of a data frame; never behind the chunk. */
  protected abstract payload(chunk: Buffer, start: number, end: number): void;

  /** Counts a message, and takes its latency when its turn has come and it is all there. */
  protected count(chunk: Buffer, start: number, end: number): void {
    this.messages++;
    if (--this.#untilSample > 0) return;
    if (end > chunk.length) {
      this.#untilSample = 1;
      return;
    }
    this.#untilSample = this.#sampling.every;
    const stampUs = readStamp(chunk, start, end);
    if (stampUs > 0) this.#sampling.latencies.add(this.#sampling.clock.nowUs() - stampUs);
  }

  #advance(chunk: Buffer, start: number, end: number): void {
    this.#frameLeft -= end - start;
    if (this.#opcode < 8) this.payload(chunk, start, end);
  }

  #control(): void {
    if (this.#opcode === 9) this.findings.ping();
    else if (this.#opcode === 8) this.findings.fault("closed by the server");
  }
}

/** One text frame is one message: Spillway's plain dialect, and the bare controls. */
export class EnvelopeReader extends StreamReader {
  protected frame(chunk: Buffer, start: number, end: number): void {
    this.count(chunk, start, end);
  }

  protected payload(): void {}
}

/**
 * NATS' protocol in frames, whose borders mean nothing
 * (https://docs.nats.io/reference/reference-protocols/nats-protocol). Lines are read without making
 * strings of them: of each, the first two letters and the number at its end are all that counts.
 */
export class NatsReader extends StreamReader {
  /** Bytes of the present message that are still to come, its line's end included. */
  #messageLeft = 0;
  #lineLength = 0;
  #firstLetters = 0;
  #lastNumber = 0;

  protected frame(): void {}

  protected payload(chunk: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) {
      const skipped = Math.min(this.#messageLeft, end - at);
      this.#messageLeft -= skipped;
      at += skipped;
      if (at < end) at = this.#readLine(chunk, at, end);
    }
  }

  /** Reads a line, or what there is of it, and returns where that ends. */
  #readLine(chunk: Buffer, start: number, end: number): number {
    let lineLength = this.#lineLength;
    let firstLetters = this.#firstLetters;
    let lastNumber = this.#lastNumber;
    let at = start;
    for (; at < end; at++) {
      const byte = chunk[at]!;
      if (byte === NEWLINE) break;
      if (lineLength++ < 2) firstLetters = (firstLetters << 8) | byte;
      const digit = byte - DIGIT_0;
      if (digit >= 0 && digit <= 9) lastNumber = lastNumber * 10 + digit;
      else if (byte !== CARRIAGE_RETURN) lastNumber = 0;
    }
    const whole = at < end;
    this.#lineLength = whole ? 0 : lineLength;
    this.#firstLetters = whole ? 0 : firstLetters;
    this.#lastNumber = whole ? 0 : lastNumber;
    if (!whole) return end;
    this.#take(firstLetters, lastNumber, chunk, at + 1, end);
    return at + 1;
  }

  /** Acts on a line, behind which a message may stand. */
  #take(firstLetters: number, length: number, chunk: Buffer, start: number, end: number): void {
    if (firstLetters === MSG) {
      this.#messageLeft = length + 2;
      const whole = start + length <= end;
      this.count(chunk, start, whole ? start + length : Number.POSITIVE_INFINITY);
    } else if (firstLetters === PING) this.findings.ping();
    else if (firstLetters === PONG) this.findings.pong();
    else if (firstLetters === ERROR) this.findings.fault("an error of NATS");
  }
}

/** The number behind `"t":`, or 0. */
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
