/** The longest number that a ping carries. */
const MAX_DIGITS = 15;
const ZERO = 0x30;
const NINE = 0x39;

const encoder = new TextEncoder();

/**
 * A ping with a number, among the frames that are written to a socket. The peer answers it with a pong of the same
 * content (RFC 6455 §5.5.3), after everything that was written before it.
 */
export class PingFrame {
  readonly text: string;
  /** The number in ASCII. */
  readonly bytes: Uint8Array;

  constructor(number: number) {
    this.text = `${number}`;
    this.bytes = encoder.encode(this.text);
  }

  get byteLength(): number {
    return this.bytes.length;
  }
}

/** Returns the number in the content of a pong; `undefined` if it is none of ours. */
export function readPong(content: Uint8Array): number | undefined {
  if (content.length === 0 || content.length > MAX_DIGITS) return undefined;
  let number = 0;
  for (const byte of content) {
    if (byte < ZERO || byte > NINE) return undefined;
    number = number * 10 + byte - ZERO;
  }
  return number;
}
