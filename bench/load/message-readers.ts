import { StreamReader } from "./stream-reader.ts";

const DIGIT_0 = 0x30;
const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;
/** The first two letters of NATS lines. */
const MSG = 0x4d53;
const HMSG = 0x484d;
const PING = 0x5049;
const PONG = 0x504f;
const ERROR = 0x2d45;
/** The subject that JetStream wants an answer on before a push consumer continues. */
const FLOW_CONTROL = /\$JS\.FC\.\S+/;

/** One text frame is one message: Spillway's plain dialect, and the controls. */
export class EnvelopeReader extends StreamReader {
  protected frame(chunk: Buffer, start: number, end: number): void {
    this.count(chunk, start, end);
  }

  protected payload(): void {}
}

/**
 * `spillway.v1.json`: the first frame is a welcome, the second confirms the subscription, and each of
 * the others holds one message per line.
 */
export class V1Reader extends StreamReader {
  #frames = 0;

  protected frame(chunk: Buffer, start: number, end: number): void {
    this.#frames++;
    if (this.#frames === 2) this.events.subscribed();
    else if (this.#frames > 2) this.count(chunk, start, end);
  }

  protected payload(chunk: Buffer, start: number, end: number): void {
    if (this.#frames <= 2) return;
    let at = chunk.indexOf(NEWLINE, start);
    while (at >= 0 && at < end) {
      this.count(chunk, at + 1, end);
      at = chunk.indexOf(NEWLINE, at + 1);
    }
  }
}

/**
 * Engine.IO 4 with Socket.IO 5 on it (https://github.com/socketio/socket.io-protocol): one text
 * frame is one packet. The first is the handshake, the second says that we have joined, a single
 * digit is a ping, and all others are events.
 */
export class SocketIoReader extends StreamReader {
  #packets = 0;

  protected frame(chunk: Buffer, start: number, end: number): void {
    if (end - start === 1) this.events.ping();
    else if (++this.#packets === 2) this.events.subscribed();
    else if (this.#packets > 2) this.count(chunk, start, end);
  }

  protected payload(): void {}
}

/**
 * The NATS protocol in frames, whose borders mean nothing
 * (https://docs.nats.io/reference/reference-protocols/nats-protocol). Lines are read without making
 * strings: only the first two letters and the number at the end of each count.
 */
export class NatsReader extends StreamReader {
  /** Bytes of the current message that have not come yet, with its line end. */
  #messageLeft = 0;
  #lineLength = 0;
  #firstLetters = 0;
  #lastNumber = 0;
  /** The line of a message with headers: only those of flow control come. */
  #headLine = "";

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

  /** Reads a line, or the part of it that came, and returns where that ends. */
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
    if (firstLetters === HMSG) this.#headLine += chunk.toString("latin1", start, at);
    const whole = at < end;
    this.#lineLength = whole ? 0 : lineLength;
    this.#firstLetters = whole ? 0 : firstLetters;
    this.#lastNumber = whole ? 0 : lastNumber;
    if (!whole) return end;
    this.#take(firstLetters, lastNumber, chunk, at + 1, end);
    return at + 1;
  }

  /** Acts on a line; a message may follow it. */
  #take(firstLetters: number, length: number, chunk: Buffer, start: number, end: number): void {
    if (firstLetters === MSG) {
      this.#messageLeft = length + 2;
      const whole = start + length <= end;
      this.count(chunk, start, whole ? start + length : Number.POSITIVE_INFINITY);
    } else if (firstLetters === HMSG) {
      this.#messageLeft = length + 2;
      const reply = FLOW_CONTROL.exec(this.#headLine)?.[0];
      this.#headLine = "";
      if (reply !== undefined) this.events.wantsAnswer(reply);
    } else if (firstLetters === PING) this.events.ping();
    else if (firstLetters === PONG) this.events.subscribed();
    else if (firstLetters === ERROR) this.events.fault("an error of NATS");
  }
}
