import type { PingFrame } from "./ping-frame.ts";
import type { TextFrame } from "./text-frame.ts";

/** A frame that is written to a socket: the content of a text message, or a ping. Sockets without `ping` get no pings. */
export type Frame = TextFrame | PingFrame;

/**
 * The result of writing frames to a {@linkcode ClientSocket}.
 *
 * - `"sent"`: accepted, and the kernel has all of them.
 * - `"buffered"`: accepted, but the peer reads more slowly than we write.
 * - `"refused"`: not accepted, now or later: the socket is closed.
 */
export type SendResult = "sent" | "buffered" | "refused";

/**
 * One client's connection. Each runtime wraps its own socket in this.
 *
 * Every method may be called in any state and never throws. `close` and `terminate` may report the end of the
 * connection before they return (Bun does). No other method may, nor a {@linkcode Fanout}: the core relies on
 * it that no socket ends while it writes to many.
 */
export interface ClientSocket {
  /** The client's address, for logs. */
  readonly remoteAddress: string;
  /** Whether both sides agreed to permessage-deflate (RFC 7692). */
  readonly compresses: boolean;
  /**
   * Writes frames, in as few system calls as the runtime can. The list is never changed afterwards, so
   * that a socket may prepare it once for all sockets that it is written to.
   */
  write(frames: readonly Frame[]): SendResult;
  /** Returns how many accepted bytes the kernel does not have yet. */
  bufferedBytes(): number;
  /** Subscribes to a topic: what the {@linkcode Fanout} writes to it from now on reaches this socket. */
  join(topic: string): void;
  /** Unsubscribes from a topic; frames that were written to it before are still sent. */
  leave(topic: string): void;
  /**
   * Sends a ping (RFC 6455 §5.5.2) with a content, and reports the pongs. Absent if the runtime itself closes
   * connections of dead peers.
   */
  ping?(content: string): void;
  /** Whether the peer can't send anything, not even a pong, as with server-sent events. Default: `false`. */
  readonly writeOnly?: boolean;
  /** Stops reading what the peer sends. Absent if the runtime can't. */
  ignore?(): void;
  /** Sends a close frame after all that is buffered. */
  close(code: number, reason: string): void;
  /** Ends the connection at once, and drops what is buffered for it if the runtime can. */
  terminate(): void;
}

/** The result of writing frames to a {@linkcode Fanout}. */
export interface FanoutResult {
  /** By how many bytes `bufferedBytes()` grew for a member whose peer reads nothing. */
  readonly grownBytes: number;
  /** How many members refused the frames, as their connection is about to end. */
  readonly refused: number;
}

/** A runtime's best way to write the same bytes to many sockets. */
export interface Fanout {
  /** Whether it writes pings. Default: `false`. */
  readonly pings?: boolean;
  /**
   * Writes frames to every socket that has joined the topic, with one write for each.
   *
   * @param compress whether the topic's sockets agreed to permessage-deflate (RFC 7692).
   */
  write(topic: string, frames: readonly Frame[], compress: boolean): FanoutResult;
}
