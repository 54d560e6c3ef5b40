const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * The content of one WebSocket text message, made once and written to any number of sockets: as
 * bytes where frames are built by us, as a string where the runtime wants one.
 */
export class TextFrame {
  /** UTF-8; never changed once it is here. */
  readonly bytes: Uint8Array;
  #text: string | undefined;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get text(): string {
    this.#text ??= decoder.decode(this.bytes);
    return this.#text;
  }

  get byteLength(): number {
    return this.bytes.length;
  }
}
