const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * The content of one WebSocket text message, made once and written to any number of sockets: as
 * bytes where frames are built by us, as a string where the runtime wants one.
 */
export class TextFrame {
  /** UTF-8; never changed once it is here. */
  readonly bytes: Uint8Array;
  /** Of the bytes; a field, as in at-least-once it is asked for once per client and message. */
  readonly byteLength: number;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.byteLength = bytes.length;
  }

  /** Made anew each time: a frame may wait in queues for long, and its memory is counted as its bytes. */
  get text(): string {
    return decoder.decode(this.bytes);
  }
}
