/**
 * The bucket in which gateways tell each other who is on which subjects. Both methods return at once and never throw; a
 * change may be lost, and the core then notices that it doesn't come back, and makes it again.
 */
export interface PresenceBucket {
  put(key: string, value: string): void;
  delete(key: string): void;
}
