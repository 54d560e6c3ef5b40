import type { Envelope } from "../core/envelope.ts";

/** The length of an unmasked frame's header (RFC 6455 §5.2). */
export function headerLength(payloadLength: number): number {
  return payloadLength < 126 ? 2 : payloadLength < 65_536 ? 4 : 10;
}

/** The bytes that envelopes take on the wire, one text frame each. */
export function framedLength(envelopes: readonly Envelope[]): number {
  let length = 0;
  for (const { byteLength } of envelopes) length += headerLength(byteLength) + byteLength;
  return length;
}

/** Envelopes as text frames behind one another, ready for any number of sockets. */
export function frame(envelopes: readonly Envelope[]): Buffer {
  const bytes = Buffer.allocUnsafeSlow(framedLength(envelopes));
  let offset = 0;
  for (const { byteLength, text } of envelopes) {
    bytes[offset++] = 0x81; // FIN, text
    if (byteLength < 126) {
      bytes[offset++] = byteLength;
    } else if (byteLength < 65_536) {
      bytes[offset++] = 126;
      offset = bytes.writeUInt16BE(byteLength, offset);
    } else {
      bytes[offset++] = 127;
      offset = bytes.writeBigUInt64BE(BigInt(byteLength), offset);
    }
    offset += bytes.write(text, offset, "utf8");
  }
  return bytes;
}
