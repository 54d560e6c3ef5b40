import type { ClientSocket, SendResult } from "../ports/socket.ts";

/** In the place of a connection that is gone: what is written to it goes nowhere. */
export class ParkedSocket implements ClientSocket {
  readonly remoteAddress: string;
  readonly compresses = false;

  /** @param remoteAddress where the client was. */
  constructor(remoteAddress: string) {
    this.remoteAddress = remoteAddress;
  }

  write(): SendResult {
    return "sent";
  }

  bufferedBytes(): number {
    return 0;
  }

  join(): void {}

  leave(): void {}

  close(): void {}

  terminate(): void {}
}
