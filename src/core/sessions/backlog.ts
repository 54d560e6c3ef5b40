import type { ServerFrame } from "../../protocol/server-frames.ts";
import type { Meter } from "../metering/meter.ts";
import { PrivateQueue, type QueueItem } from "./queue.ts";
import type { QueueBounds } from "./queue-bounds.ts";

export interface BacklogLimits extends QueueBounds {
  /** With more unsent bytes than this in its socket, a connection lags. */
  readonly highWaterBytes: number;
  /** With no more unsent bytes than this in its socket, a connection takes from its backlog. */
  readonly lowWaterBytes: number;
}

/** The client to which a backlog is drained. */
export interface BacklogTarget {
  /** The unsent bytes in the socket. */
  readonly bufferedBytes: number;
  /** The number of bytes that may be sent now so that the client sees them soon, and the most at once. */
  readonly windowBytes: number;
  readonly stepBytes: number;
  /** Whether the client has taken nearly everything that was sent. */
  readonly hasCaughtUp: boolean;
  /** Whether messages had to wait until it took others, in the last time. */
  readonly wasFull: boolean;
  /** The number of messages, and of their bytes, that the client may have unacknowledged beside those that it has. */
  readonly roomMessages: number;
  readonly roomBytes: number;
  /**
   * @param arrivedMs when the oldest message among them was queued.
   * @param isLast whether nothing is left.
   * @returns `false` if the socket takes nothing any more.
   */
  send(items: readonly QueueItem[], arrivedMs: number | undefined, isLast: boolean): boolean;
  tell(frame: ServerFrame): void;
}

/** The messages that wait for one client that its audience can't serve, and whether its connection lags. */
export class Backlog {
  readonly queue: PrivateQueue;
  readonly #limits: BacklogLimits;
  readonly #meter: Meter;
  /** The unsent bytes in the socket when the connection began to lag; `undefined` while it keeps up. */
  #laggedAtBytes: number | undefined;

  constructor(limits: BacklogLimits, meter: Meter) {
    this.queue = new PrivateQueue(limits, meter.ledger);
    this.#limits = limits;
    this.#meter = meter;
  }

  get isLagging(): boolean {
    return this.#laggedAtBytes !== undefined;
  }

  /** Whether something waits, or the connection lags. */
  get isWaiting(): boolean {
    return this.isLagging || !this.queue.isEmpty;
  }

  /** The connection lags from now on. */
  beginLag(bufferedBytes: number): void {
    this.#laggedAtBytes = bufferedBytes;
    this.#meter.clientsLagging++;
  }

  /** The connection keeps up again, or is gone. */
  endLag(): void {
    if (!this.isLagging) return;
    this.#laggedAtBytes = undefined;
    this.#meter.clientsLagging--;
  }

  /** Whether so many unsent bytes are too many to send even a notice to a client that lags. */
  isOverfull(bufferedBytes: number): boolean {
    const laggedAtBytes = this.#laggedAtBytes;
    if (laggedAtBytes === undefined) return false;
    return bufferedBytes > laggedAtBytes + this.#limits.highWaterBytes;
  }

  /**
   * Sends waiting messages, as many as the target takes.
   *
   * @returns whether nothing waits any more and the connection keeps up.
   */
  drain(target: BacklogTarget): boolean {
    const { queue } = this;
    const { lowWaterBytes, highWaterBytes } = this.#limits;
    while (!queue.isEmpty) {
      const { bufferedBytes, windowBytes, stepBytes } = target;
      if (bufferedBytes > lowWaterBytes || windowBytes <= 0) return false;
      const freeBytes = Math.min(highWaterBytes - bufferedBytes, windowBytes, stepBytes);
      const roomBytes = Math.min(freeBytes, target.roomBytes);
      const { oldestMs } = queue;
      // Gaps and notices before the next message need no room.
      const items = queue.take(roomBytes, target.roomMessages);
      if (items.length === 0 && !queue.isEmpty) break;
      if (!target.send(items, oldestMs, queue.isEmpty)) return false;
    }
    if (!this.isLagging) return queue.isEmpty;
    if (!target.hasCaughtUp) return false;
    // It has taken what was left, but not all that came: with its audience, it would lag again at once.
    if (queue.hasLeftOut && target.wasFull) return false;
    // The rest waits for acknowledgements, and not for the connection.
    this.endLag();
    target.tell({ type: "ok" });
    return queue.isEmpty;
  }
}
