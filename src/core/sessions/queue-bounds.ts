/** How much may wait for one client. */
export interface QueueBounds {
  readonly maxQueueBytes: number;
  readonly maxQueueMessages: number;
  /** If a message has waited for longer, the queue counts as full. */
  readonly maxQueueAgeMs: number;
}
