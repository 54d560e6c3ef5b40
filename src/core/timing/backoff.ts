/** The longest back-off, unless the first one is longer. */
const MOST_BACKOFF_MS = 30_000;

/**
 * Returns how long to wait before a failed message is sent again: twice as long after each failure.
 *
 * @param random from 0 to 1: up to half of the time is left out, so that messages that failed together don't
 * return together.
 */
export function backoffMs(firstMs: number, failures: number, random: number): number {
  const mostMs = Math.max(firstMs, MOST_BACKOFF_MS);
  return Math.min(mostMs, firstMs * 2 ** (failures - 1)) * (1 - random / 2);
}
