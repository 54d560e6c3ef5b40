import type { Duplex } from "node:stream";

/** A connection that had a request a shorter time ago is likely to be used again at once. */
const MIN_IDLE_MS = 5000;

/** The connections of a server that wait for their next request. */
export class IdleConnections {
  /** Since when each of them waits, those that wait the longest first. */
  readonly #sinceMs = new Map<Duplex, number>();
  readonly #nowMs: () => number;
  /** Listens for the end of each of them. */
  readonly #forget: (this: Duplex) => void;

  constructor(nowMs = () => performance.now()) {
    const sinceMs = this.#sinceMs;
    this.#nowMs = nowMs;
    this.#forget = function forget() {
      sinceMs.delete(this);
    };
  }

  add(socket: Duplex): void {
    if (socket.destroyed) return;
    this.#sinceMs.set(socket, this.#nowMs());
    socket.once("close", this.#forget);
  }

  remove(socket: Duplex): void {
    if (this.#sinceMs.delete(socket)) socket.off("close", this.#forget);
  }

  /**
   * Ends those that have waited the longest, and for five seconds at least.
   *
   * @returns how many were ended; fewer than `count` if there are no more.
   */
  end(count: number): number {
    const latestMs = this.#nowMs() - MIN_IDLE_MS;
    let ended = 0;
    for (const [socket, sinceMs] of this.#sinceMs) {
      if (ended >= count || sinceMs > latestMs) break;
      this.remove(socket);
      socket.destroy();
      ended++;
    }
    return ended;
  }
}
