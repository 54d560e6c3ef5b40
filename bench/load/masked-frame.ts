/** Returns a short frame as a client sends it; the mask is 0, which leaves the payload as it is. */
export function maskedFrame(opcode: number, payload: string): Uint8Array {
  const { length } = payload;
  const size = length < 126 ? [0x80 | length] : [0x80 | 126, length >> 8, length & 0xff];
  return Buffer.from([0x80 | opcode, ...size, 0, 0, 0, 0, ...Buffer.from(payload)]);
}
