import type { ClientSocket } from "../ports/socket.ts";

export interface LivenessLimits {
  /** How often a client is pinged. */
  readonly pingIntervalMs: number;
  /** A client of whom nothing was heard for so long, pongs included, is disconnected with 4513. */
  readonly readTimeoutMs: number;
}

/** Whether a peer is still there: it is pinged, and whatever comes from it is a sign of life. */
export class Liveness {
  readonly #socket: ClientSocket;
  readonly #limits: LivenessLimits;
  #lastHeardMs: number;
  #lastPingMs: number;

  constructor(socket: ClientSocket, limits: LivenessLimits, nowMs: number) {
    this.#socket = socket;
    this.#limits = limits;
    this.#lastHeardMs = nowMs;
    this.#lastPingMs = nowMs;
  }

  heard(nowMs: number): void {
    this.#lastHeardMs = nowMs;
  }

  /** Whether the peer was heard after a time, or never can be; one that may be asked is asked. */
  heardSince(ms: number, nowMs: number): boolean {
    const { ping, writeOnly } = this.#socket;
    if (ping === undefined || writeOnly || this.#lastHeardMs > ms) return true;
    if (this.#lastPingMs <= ms) {
      this.#lastPingMs = nowMs;
      this.#socket.ping?.();
    }
    return this.#lastHeardMs > ms;
  }

  /** See `Session.forgivePause`. */
  forgivePause(pausedMs: number, nowMs: number): void {
    this.#lastHeardMs = Math.min(nowMs, this.#lastHeardMs + pausedMs);
  }

  /** Pings when that is due. Returns `false` when the peer has been silent for too long. */
  check(nowMs: number): boolean {
    const socket = this.#socket;
    // Without a ping of ours nobody owes us a pong: there the runtime ends dead connections.
    if (socket.ping === undefined) return true;
    if (!socket.writeOnly && nowMs - this.#lastHeardMs > this.#limits.readTimeoutMs) return false;
    if (nowMs - this.#lastPingMs >= this.#limits.pingIntervalMs) {
      this.#lastPingMs = nowMs;
      socket.ping();
    }
    return true;
  }
}
