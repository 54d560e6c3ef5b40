/** Messages share so many bytes of memory: one allocation for some hundred of them. */
const SLAB_BYTES = 64 * 1024;
/** A message that may be longer has memory of its own, so that it pins no other's. */
const MOST_IN_SLAB = 8 * 1024;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const MOST_INTEGER = 0x3fffffff;

const encoder = new TextEncoder();

/**
 * Writes texts and bytes behind one another, without a string or an array for each. What was taken
 * is never overwritten.
 */
export class ByteWriter {
  #slab = new Uint8Array(SLAB_BYTES);
  /** The end of the part of the slab that was taken. */
  #takenTo = 0;
  /** The slab, or the memory of one long message. */
  #bytes = this.#slab;
  #start = 0;
  #at = 0;

  /** Begins anew, with room for so many bytes at least; the caller must not write more. */
  begin(mostBytes: number): void {
    if (mostBytes > MOST_IN_SLAB) {
      this.#bytes = new Uint8Array(mostBytes);
      this.#start = 0;
    } else {
      if (this.#takenTo + mostBytes > SLAB_BYTES) {
        this.#slab = new Uint8Array(SLAB_BYTES);
        this.#takenTo = 0;
      }
      this.#bytes = this.#slab;
      this.#start = this.#takenTo;
    }
    this.#at = this.#start;
  }

  /** Returns the bytes that were written since `begin`. */
  take(): Uint8Array {
    const taken = this.#bytes.subarray(this.#start, this.#at);
    if (this.#bytes === this.#slab) {
      this.#takenTo = this.#at;
      return taken;
    }
    // The room that was asked for may be three times as much as was needed, and is not kept for so long.
    return taken.length * 2 < this.#bytes.length ? taken.slice() : taken;
  }

  /** Bytes written since `begin`. */
  get length(): number {
    return this.#at - this.#start;
  }

  /** A copy of what was written since there was so much. */
  since(length: number): Uint8Array {
    return this.#bytes.slice(this.#start + length, this.#at);
  }

  /** Takes up to three bytes for each UTF-16 unit; most texts are ASCII, and are copied as such. */
  text(text: string): void {
    const bytes = this.#bytes;
    const start = this.#at;
    let at = start;
    for (let index = 0; index < text.length; index++) {
      const unit = text.charCodeAt(index);
      if (unit > 0x7f) {
        this.#at = start + encoder.encodeInto(text, bytes.subarray(start)).written;
        return;
      }
      bytes[at++] = unit;
    }
    this.#at = at;
  }

  bytes(source: Uint8Array): void {
    this.#bytes.set(source, this.#at);
    this.#at += source.length;
  }

  byte(value: number): void {
    this.#bytes[this.#at++] = value;
  }

  /** A text as JSON: in quotes, and with what must be escaped escaped. */
  jsonText(text: string): void {
    const bytes = this.#bytes;
    const start = this.#at;
    let at = start;
    bytes[at++] = QUOTE;
    for (let index = 0; index < text.length; index++) {
      const unit = text.charCodeAt(index);
      if (unit < 0x20 || unit > 0x7e || unit === QUOTE || unit === BACKSLASH) {
        this.text(JSON.stringify(text));
        return;
      }
      bytes[at++] = unit;
    }
    bytes[at++] = QUOTE;
    this.#at = at;
  }

  /** A whole number that is not negative, in decimal: 16 bytes at the most. */
  decimal(value: number): void {
    if (value > MOST_INTEGER) {
      this.text(String(value));
      return;
    }
    // Below this, engines divide integers instead of floating-point numbers.
    let end = this.#at;
    for (let rest = value; rest > 0 || end === this.#at; rest = (rest / 10) | 0) end++;
    let at = end;
    for (let rest = value; at > this.#at; rest = (rest / 10) | 0) {
      this.#bytes[--at] = 0x30 + (rest % 10);
    }
    this.#at = end;
  }
}
