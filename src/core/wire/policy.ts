/**
 * What happens to a subscription's messages when the client's queue is full.
 *
 * - `"disconnect"`: the connection is closed with 4510; nothing is left out before.
 * - `"drop-oldest"`: the oldest in the queue make room, and a `gap` stands in their place.
 * - `"drop-newest"`: what comes is left out until there is room, and a `gap` stands in its place.
 * - `"conflate"`: of each subject, only the latest waits; the next value says how many it
 *   superseded. Where even that is too much, the oldest make room as in `"drop-oldest"`.
 */
export type Policy = "disconnect" | "drop-oldest" | "drop-newest" | "conflate";

export const POLICIES: readonly Policy[] = ["disconnect", "drop-oldest", "drop-newest", "conflate"];

/** How much may wait for one client. */
export interface QueueBounds {
  readonly maxQueueBytes: number;
  readonly maxQueueMessages: number;
  /** What has waited for longer is treated as if the queue were full. */
  readonly maxQueueAgeMs: number;
}
