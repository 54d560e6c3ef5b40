/** The back-off grows no further than to this, or to the first one. */
const MOST_BACKOFF_MS = 30_000;

/**
 * How long to wait before a message is sent again that failed so many times: twice as long each time.
 *
 * @param random from 0 to 1: up to half is taken off, so that what failed together does not come back
 * together.
 */
export function backoffMs(firstMs: number, failures: number, random: number): number {
  const mostMs = Math.max(firstMs, MOST_BACKOFF_MS);
  return Math.min(mostMs, firstMs * 2 ** (failures - 1)) * (1 - random / 2);
}
