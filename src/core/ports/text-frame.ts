const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * The content of one WebSocket text message, encoded once and written to any number of sockets: as bytes, or as
 * a string if the runtime wants one.
 */
export class TextFrame {
  /** UTF-8; never changed. */
  readonly bytes: Uint8Array;
  /** A field and no getter, as at-least-once reads it for each client and message. */
  readonly byteLength: number;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.byteLength = bytes.length;
  }

  /** Decoded anew each time: a frame may wait in queues, and its memory is counted as its bytes alone. */
  get text(): string {
    return decoder.decode(this.bytes);
  }
}
