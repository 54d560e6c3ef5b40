import type { Envelope } from "./envelope.ts";

/** Returns how many of these there is room for, in their order. */
export function fittingInto(
  roomMessages: number,
  roomBytes: number,
  envelopes: readonly Envelope[],
): number {
  let fitting = 0;
  let left = roomBytes;
  for (const { byteLength } of envelopes) {
    if (fitting === roomMessages || byteLength > left) break;
    left -= byteLength;
    fitting++;
  }
  return fitting;
}

/** Returns the bytes of these together. */
export function bytesOf(envelopes: readonly Envelope[]): number {
  return envelopes.reduce((sum, { byteLength }) => sum + byteLength, 0);
}
