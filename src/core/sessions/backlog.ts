import type { ServerFrame } from "../../protocol/server-frames.ts";
import type { Meter } from "../metering/meter.ts";
import { PrivateQueue, type QueueItem } from "./queue.ts";
import type { QueueBounds } from "./queue-bounds.ts";

export interface BacklogLimits extends QueueBounds {
  /** With more unsent bytes than this in its socket, a connection lags. */
  readonly highWaterBytes: number;
  /** With no more unsent bytes than this, a connection takes from its backlog, and doesn't lag any more. */
  readonly lowWaterBytes: number;
}

/** Where a backlog is drained to. */
export interface BacklogTarget {
  /** The unsent bytes in the socket. */
  readonly bufferedBytes: number;
  /** How many messages, and bytes of messages, the client may be sent now. */
  readonly roomMessages: number;
  readonly roomBytes: number;
  /** @returns `false` if the socket takes nothing any more. */
  send(items: readonly QueueItem[]): boolean;
  tell(frame: ServerFrame): void;
}

/** What waits for one client that its audience can't serve, and whether its connection lags. */
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
   * Sends what waits, as much as the target takes.
   *
   * @returns whether nothing waits any more and the connection keeps up.
   */
  drain(target: BacklogTarget): boolean {
    const { queue } = this;
    const { lowWaterBytes, highWaterBytes } = this.#limits;
    while (!queue.isEmpty) {
      const { bufferedBytes } = target;
      if (bufferedBytes > lowWaterBytes) return false;
      const roomBytes = Math.min(highWaterBytes - bufferedBytes, target.roomBytes);
      // Gaps and notices before the next message need no room.
      const items = queue.take(roomBytes, target.roomMessages);
      if (items.length === 0 && !queue.isEmpty) return false;
      if (!target.send(items)) return false;
    }
    if (!this.isLagging) return true;
    if (target.bufferedBytes > lowWaterBytes) return false;
    this.endLag();
    target.tell({ type: "ok" });
    return true;
  }
}
