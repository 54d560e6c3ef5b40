import { constants, deflateRawSync } from "node:zlib";
import { PingFrame } from "../core/ports/ping-frame.ts";
import type { Frame } from "../core/ports/socket.ts";
import type { TextFrame } from "../core/ports/text-frame.ts";

/** FIN, text (RFC 6455 §5.2). */
const TEXT = 0x81;
/** The same with RSV1: compressed (RFC 7692 §6). */
const COMPRESSED_TEXT = 0xc1;
/** FIN, ping (RFC 6455 §5.5.2); never compressed (RFC 7692 §5.1). */
const PING = 0x89;
/** The end of a flushed deflate stream, which a message leaves out (RFC 7692 §7.2.1). */
const FLUSH_TAIL_BYTES = 4;
/** Takes a third of the time of the default level, and compresses well enough. */
const LEVEL = 1;

/** Returns the length of an unmasked frame's header (RFC 6455 §5.2). */
function headerLength(payloadLength: number): number {
  return payloadLength < 126 ? 2 : payloadLength < 65_536 ? 4 : 10;
}

/** Returns the bytes that frames take on the wire, uncompressed. */
export function framedLength(frames: readonly Frame[]): number {
  let length = 0;
  for (const { byteLength } of frames) length += headerLength(byteLength) + byteLength;
  return length;
}

/** Builds WebSocket frames that any number of sockets can share. */
export class FrameBuilder {
  readonly #thresholdBytes: number;
  /** Compresses a frame once, also if several audiences get it. */
  readonly #compressed = new WeakMap<TextFrame, Uint8Array>();
  /** The last frames and their buffer: in at-least-once, all clients of an audience get the same frames. */
  #frames: readonly Frame[] | undefined;
  #isCompressed = false;
  #built: Buffer | undefined;

  /** @param thresholdBytes shorter frames are not compressed. */
  constructor(thresholdBytes: number) {
    this.#thresholdBytes = thresholdBytes;
  }

  /** Returns frames as one buffer, and the same buffer for the same list. The list must not change. */
  build(frames: readonly Frame[], compress: boolean): Buffer {
    if (this.#built !== undefined && frames === this.#frames && compress === this.#isCompressed) {
      return this.#built;
    }
    this.#built = compress ? this.#buildCompressed(frames) : buildPlain(frames);
    this.#frames = frames;
    this.#isCompressed = compress;
    return this.#built;
  }

  #buildCompressed(frames: readonly Frame[]): Buffer {
    const payloads = frames.map((frame) =>
      frame instanceof PingFrame || frame.byteLength < this.#thresholdBytes
        ? undefined
        : this.#deflate(frame),
    );
    const bodies = frames.map(({ bytes }, index) => payloads[index] ?? bytes);
    const length = bodies.reduce((sum, { length }) => sum + headerLength(length) + length, 0);
    const buffer = Buffer.allocUnsafeSlow(length);
    let offset = 0;
    for (const [index, body] of bodies.entries()) {
      const first = payloads[index] === undefined ? opcodeOf(frames[index]!) : COMPRESSED_TEXT;
      offset = writeFrame(buffer, offset, first, body);
    }
    return buffer;
  }

  #deflate(frame: TextFrame): Uint8Array {
    let compressed = this.#compressed.get(frame);
    if (compressed === undefined) {
      const options = { level: LEVEL, finishFlush: constants.Z_SYNC_FLUSH };
      compressed = deflateRawSync(frame.bytes, options).subarray(0, -FLUSH_TAIL_BYTES);
      this.#compressed.set(frame, compressed);
    }
    return compressed;
  }
}

function opcodeOf(frame: Frame): number {
  return frame instanceof PingFrame ? PING : TEXT;
}

function buildPlain(frames: readonly Frame[]): Buffer {
  const buffer = Buffer.allocUnsafeSlow(framedLength(frames));
  let offset = 0;
  for (const frame of frames) offset = writeFrame(buffer, offset, opcodeOf(frame), frame.bytes);
  return buffer;
}

/** Returns the end of the frame. */
function writeFrame(buffer: Buffer, start: number, first: number, payload: Uint8Array): number {
  const { length } = payload;
  let offset = start;
  buffer[offset++] = first;
  if (length < 126) {
    buffer[offset++] = length;
  } else if (length < 65_536) {
    buffer[offset++] = 126;
    buffer[offset++] = length >> 8;
    buffer[offset++] = length & 0xff;
  } else {
    buffer[offset++] = 127;
    offset = buffer.writeBigUInt64BE(BigInt(length), offset);
  }
  buffer.set(payload, offset);
  return offset + length;
}
