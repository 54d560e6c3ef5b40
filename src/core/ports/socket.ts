import type { TextFrame } from "./text-frame.ts";

/**
 * What became of frames that were handed to a {@linkcode ClientSocket}.
 *
 * - `"sent"`: accepted, and nothing is waiting behind them.
 * - `"buffered"`: accepted, but the peer reads more slowly than we write.
 * - `"refused"`: not accepted and never will be; the socket is closed.
 */
export type SendResult = "sent" | "buffered" | "refused";

/**
 * One client's connection, as the core sees it. A runtime adapter wraps its own socket in this.
 *
 * Every method may be called in any state and never throws. `close` and `terminate` may call the
 * connection's `closed` event before they return (Bun does); nothing else may, and no {@linkcode Fanout}:
 * whoever writes to many counts on it that none of them goes meanwhile.
 */
export interface ClientSocket {
  /** Where the client is, for logs. */
  readonly remoteAddress: string;
  /** Whether permessage-deflate (RFC 7692) was agreed on. */
  readonly compresses: boolean;
  /**
   * Writes text frames, all in as few system calls as the runtime can. The list is never changed
   * afterwards; to write it to several sockets in turn costs to make it ready only once.
   */
  write(frames: readonly TextFrame[]): SendResult;
  /** Bytes that were accepted and have not reached the kernel. */
  bufferedBytes(): number;
  /** From now on, what the {@linkcode Fanout} writes to the topic reaches this socket. */
  join(topic: string): void;
  /** Ends `join`; what was written to the topic before still goes out. */
  leave(topic: string): void;
  /** Sends a ping (RFC 6455 §5.5.2). Absent where the runtime itself sees to it that dead peers are closed. */
  ping?(): void;
  /** Whether nothing is ever heard of the peer, not even a pong, as with server-sent events. */
  readonly writeOnly?: boolean;
  /** Reads nothing more of what the peer sends, where the runtime can. */
  ignore?(): void;
  /** Sends a close frame behind what is buffered. */
  close(code: number, reason: string): void;
  /** Drops the connection and what is buffered for it, as far as the runtime can. */
  terminate(): void;
}

/** What became of frames that were handed to a {@linkcode Fanout}. */
export interface FanoutResult {
  /** By how many bytes a member's `bufferedBytes()` has grown if its peer reads nothing. */
  readonly grownBytes: number;
  /** How many members took nothing, because their connection is about to end. */
  readonly refused: number;
}

/** A runtime's best way to write the same bytes to many sockets. */
export interface Fanout {
  /**
   * Writes text frames to every socket that joined the topic, in one write each.
   *
   * @param compress whether the topic's sockets agreed to permessage-deflate (RFC 7692).
   */
  write(topic: string, frames: readonly TextFrame[], compress: boolean): FanoutResult;
}
