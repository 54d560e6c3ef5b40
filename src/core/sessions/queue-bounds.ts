/** The bounds of one client's queue. */
export interface QueueBounds {
  readonly maxQueueBytes: number;
  readonly maxQueueMessages: number;
  /** If a message has waited for longer, the queue counts as full. */
  readonly maxQueueAgeMs: number;
}
