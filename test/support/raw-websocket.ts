import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { constants, deflateRawSync, inflateRawSync } from "node:zlib";
import { DEADLINE_MS, EventLog } from "./event-log.ts";
import { type HandshakeOptions, type HandshakeResponse, requestUpgrade } from "./raw-handshake.ts";

/** RFC 6455 §5.2 */
export const OPCODE = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export interface Frame {
  readonly fin: boolean;
  /** RSV1: the payload is compressed (RFC 7692 §6); it is shown as it came. */
  readonly compressed: boolean;
  readonly opcode: number;
  readonly payload: Buffer;
}

/** A frame to send; a proper client's by default. */
export interface FrameToSend {
  readonly opcode: number;
  readonly payload?: string | Uint8Array;
  /** Default: `true`. */
  readonly fin?: boolean;
  /** Default: `true`. */
  readonly masked?: boolean;
  /** Whether to set RSV1, of a payload that is compressed already. Default: `false`. */
  readonly compressed?: boolean;
}

/** The time between two reads of a slow reader. */
const PACE_MS = 20;

/** How a connection ended; 1006 without a close frame, 1005 where that holds no code. */
export interface CloseEvent {
  readonly code: number;
  readonly reason: string;
}

/** Opens a WebSocket over which a test has full control. */
export async function openRaw(
  url: string,
  options: HandshakeOptions & { autoPong?: boolean } = {},
): Promise<RawWebSocket> {
  const response = await requestUpgrade(url, options);
  if (response.status !== 101) {
    throw new Error(`${url}: refused with ${response.status}: ${response.body}`);
  }
  return new RawWebSocket(response, options.autoPong ?? true);
}

/** A WebSocket client that can do all that a proper one would not. */
export class RawWebSocket {
  readonly response: HandshakeResponse;
  /** All frames that came, control frames included. */
  readonly frames = new EventLog<Frame>("raw client", showFrame);
  readonly #texts = new EventLog<string>("raw client");
  readonly #closes = new EventLog<CloseEvent>("raw client");
  readonly #socket: Socket;
  readonly #autoPong: boolean;
  #unread: Buffer = Buffer.alloc(0);
  /** Bytes that the socket has given and a slow reader has not read. */
  #waiting: Buffer = Buffer.alloc(0);
  #pace: ReturnType<typeof setInterval> | undefined;

  constructor(response: HandshakeResponse, autoPong: boolean) {
    this.response = response;
    this.#autoPong = autoPong;
    this.#socket = response.socket;
    this.#socket.on("data", (chunk: Buffer) => this.#came(chunk));
    // A reset is an ending like any other; "close" follows it.
    this.#socket.on("error", () => {});
    this.#socket.on("close", () => this.#end({ code: 1006, reason: "" }));
    this.#read(response.rest);
  }

  /** How many frames of this opcode came so far. */
  count(opcode: number): number {
    return this.frames.entries.filter((frame) => frame.opcode === opcode).length;
  }

  /** The next text that was not taken yet. */
  nextText(deadlineMs: number = DEADLINE_MS): Promise<string> {
    return this.#texts.next("text frame", deadlineMs);
  }

  /** The next `count` texts that were not taken yet. */
  takeTexts(count: number, deadlineMs: number = DEADLINE_MS): Promise<string[]> {
    return this.#texts.take(count, "text frames", deadlineMs);
  }

  /** The next `count` frames of this opcode, counted from the first that ever came. */
  async untilCount(opcode: number, count: number, deadlineMs: number = DEADLINE_MS): Promise<void> {
    let left = count;
    const fits = (frame: Frame): boolean => frame.opcode === opcode && --left === 0;
    await this.frames.find(fits, `${count} frames with opcode ${opcode}`, deadlineMs);
  }

  /** How the connection ends. */
  nextClose(deadlineMs: number = DEADLINE_MS): Promise<CloseEvent> {
    return this.#closes.find(() => true, "close", deadlineMs);
  }

  send(data: string | Uint8Array): void {
    this.sendFrame({
      opcode: typeof data === "string" ? OPCODE.text : OPCODE.binary,
      payload: data,
    });
  }

  sendFrame(frame: FrameToSend): void {
    this.sendRaw(encodeFrame(frame));
  }

  sendRaw(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** What was sent and the kernel has not taken yet; 0 once the connection is over. */
  get unsentBytes(): number {
    return this.#socket.destroyed ? 0 : this.#socket.writableLength;
  }

  /** A close frame; the server's answer ends the connection. */
  close(code = 1000, reason = ""): void {
    this.sendFrame({ opcode: OPCODE.close, payload: closePayload(code, reason) });
  }

  /** Reads nothing from now on, as a client does that hangs: the kernel's buffers fill up. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Reads so many bytes per second from now on; the rest stays in the kernel's buffers. */
  readAt(bytesPerSecond: number): void {
    clearInterval(this.#pace);
    const share = Math.ceil((bytesPerSecond * PACE_MS) / 1000);
    this.#pace = setInterval(() => {
      const read = this.#waiting.subarray(0, share);
      this.#waiting = this.#waiting.subarray(share);
      if (this.#waiting.length === 0) this.#socket.resume();
      this.#read(read);
    }, PACE_MS);
  }

  /** Vanishes without a close frame: a TCP reset. */
  destroy(): void {
    this.#socket.resetAndDestroy();
  }

  #came(chunk: Buffer): void {
    if (this.#pace === undefined) {
      this.#read(chunk);
      return;
    }
    this.#socket.pause();
    this.#waiting = Buffer.concat([this.#waiting, chunk]);
  }

  #read(chunk: Buffer): void {
    this.#unread = this.#unread.length === 0 ? chunk : Buffer.concat([this.#unread, chunk]);
    for (;;) {
      const next = decodeFrame(this.#unread);
      if (next === undefined) return;
      this.#unread = next.rest;
      this.#take(next.frame);
    }
  }

  #take(frame: Frame): void {
    this.frames.add(frame);
    const { opcode, payload } = frame;
    if (opcode === OPCODE.text) this.#texts.add(textOf(frame));
    if (opcode === OPCODE.ping && this.#autoPong) this.sendFrame({ opcode: OPCODE.pong, payload });
    if (opcode !== OPCODE.close) return;
    const code = payload.length < 2 ? 1005 : payload.readUInt16BE(0);
    this.#end({ code, reason: payload.subarray(2).toString() });
    if (this.#socket.writable) {
      this.sendFrame({ opcode: OPCODE.close, payload: payload.subarray(0, 2) });
      this.#socket.end();
    }
  }

  #end(how: CloseEvent): void {
    clearInterval(this.#pace);
    if (this.#closes.entries.length > 0) return;
    this.#closes.add(how);
    this.#texts.end(`was closed with ${how.code} ${how.reason}`);
    this.frames.end(`was closed with ${how.code} ${how.reason}`);
  }
}

/** What a flushed deflate stream ends with, and a message leaves out (RFC 7692 §7.2.1). */
const FLUSH_TAIL = Buffer.of(0, 0, 0xff, 0xff);

/** What a text frame says; each is compressed by itself, as no context takeover is agreed on. */
export function textOf({ payload, compressed }: Frame): string {
  if (!compressed) return payload.toString();
  const options = { finishFlush: constants.Z_SYNC_FLUSH };
  return inflateRawSync(Buffer.concat([payload, FLUSH_TAIL]), options).toString();
}

/** A compressed frame's payload (RFC 7692 §7.2.1). */
export function deflated(text: string): Buffer {
  const bytes = deflateRawSync(text, { finishFlush: constants.Z_SYNC_FLUSH });
  return bytes.subarray(0, -FLUSH_TAIL.length);
}

function closePayload(code: number, reason: string): Buffer {
  const payload = Buffer.from(`\0\0${reason}`);
  payload.writeUInt16BE(code);
  return payload;
}

/** RFC 6455 §5.2, with a random mask. */
export function encodeFrame(frame: FrameToSend) {
  const { opcode, payload = "", fin = true, masked = true, compressed = false } = frame;
  const data = Buffer.from(payload as Uint8Array);
  const head = [(fin ? 0x80 : 0) | (compressed ? 0x40 : 0) | opcode];
  const maskBit = masked ? 0x80 : 0;
  if (data.length < 126) head.push(maskBit | data.length);
  else if (data.length < 65_536) head.push(maskBit | 126, data.length >> 8, data.length & 0xff);
  else {
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(data.length));
    head.push(maskBit | 127, ...length);
  }
  if (!masked) return Buffer.concat([Buffer.from(head), data]);
  const mask = randomBytes(4);
  for (let index = 0; index < data.length; index++) data[index]! ^= mask[index % 4]!;
  return Buffer.concat([Buffer.from(head), mask, data]);
}

/** The first frame and what stands behind it; `undefined` until it is all there. */
function decodeFrame(bytes: Buffer): { frame: Frame; rest: Buffer } | undefined {
  if (bytes.length < 2) return undefined;
  const first = bytes[0]!;
  const second = bytes[1]!;
  if ((second & 0x80) !== 0) throw new Error("the server masked a frame (RFC 6455 §5.1)");
  let length = second & 0x7f;
  let at = 2;
  if (length === 126) {
    if (bytes.length < 4) return undefined;
    length = bytes.readUInt16BE(2);
    at = 4;
  } else if (length === 127) {
    if (bytes.length < 10) return undefined;
    length = Number(bytes.readBigUInt64BE(2));
    at = 10;
  }
  if (bytes.length < at + length) return undefined;
  const frame = {
    fin: (first & 0x80) !== 0,
    compressed: (first & 0x40) !== 0,
    opcode: first & 0x0f,
    payload: bytes.subarray(at, at + length),
  };
  return { frame, rest: bytes.subarray(at + length) };
}

function showFrame({ opcode, payload, fin }: Frame): string {
  return `opcode ${opcode}${fin ? "" : " (not final)"}, ${payload.length} bytes: ${payload}`;
}
