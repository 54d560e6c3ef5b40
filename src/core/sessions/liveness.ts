import type { ClientSocket } from "../ports/socket.ts";
import type { SocketWriter } from "./socket-writer.ts";

export interface LivenessLimits {
  /** The time between two pings of a client. */
  readonly pingIntervalMs: number;
  /** A client that sends nothing for this long, not even a pong, is disconnected with 4513. */
  readonly readTimeoutMs: number;
}

/** Knows whether a peer is alive: pings it, unless it was sent a mark, and notes everything that it sends. */
export class Liveness {
  readonly #socket: ClientSocket;
  readonly #writer: SocketWriter;
  readonly #limits: LivenessLimits;
  #lastHeardMs: number;

  constructor(writer: SocketWriter, limits: LivenessLimits, nowMs: number) {
    this.#socket = writer.socket;
    this.#writer = writer;
    this.#limits = limits;
    this.#lastHeardMs = nowMs;
  }

  heard(nowMs: number): void {
    this.#lastHeardMs = nowMs;
  }

  /** Whether the peer was heard after a time, or can't be heard at all. Pings it if that isn't known. */
  heardSince(ms: number, nowMs: number): boolean {
    const { ping, writeOnly } = this.#socket;
    if (ping === undefined || writeOnly || this.#lastHeardMs > ms) return true;
    this.#writer.pingUnlessSince(ms, nowMs);
    return this.#lastHeardMs > ms;
  }

  /** See `Session.forgivePause`. */
  forgivePause(pausedMs: number, nowMs: number): void {
    this.#lastHeardMs = Math.min(nowMs, this.#lastHeardMs + pausedMs);
  }

  /** Pings the peer if that is due. Returns `false` if the peer has been silent for too long. */
  check(nowMs: number): boolean {
    const socket = this.#socket;
    // Without our pings there are no pongs; then the runtime ends dead connections.
    if (socket.ping === undefined) return true;
    if (!socket.writeOnly && nowMs - this.#lastHeardMs > this.#limits.readTimeoutMs) return false;
    this.#writer.pingUnlessSince(nowMs - this.#limits.pingIntervalMs, nowMs);
    return true;
  }
}
