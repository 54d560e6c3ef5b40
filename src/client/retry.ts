/** The waits before the client connects again. */
export interface RetryOptions {
  /** The longest wait before the first attempt, in milliseconds. It doubles with each attempt. Default: 500. */
  readonly firstMs?: number;
  /** The longest wait of all, in milliseconds. Default: 30,000. */
  readonly mostMs?: number;
  /** After a connection that lasted so long, in milliseconds, `firstMs` applies again. Default: 60,000. */
  readonly stableMs?: number;
}

/** No two attempts follow each other faster, in milliseconds, whatever asked for them. */
export const LEAST_PAUSE_MS = 1000;
/** Attempts that the gateway may time by itself; from the next one on, the back-off is the least. */
const TRUSTED_ATTEMPTS = 4;

/**
 * Returns the wait before the next attempt, in milliseconds.
 *
 * @param openMs how long the connection was open.
 * @param saidMs the wait that the gateway asked for.
 */
export type NextWait = (openMs: number, saidMs?: number) => number;

/**
 * Decides how long to wait before each attempt: a random time (full jitter) up to a limit that doubles.
 *
 * @param random from 0 to 1.
 */
export function backOff(
  { firstMs = 500, mostMs = 30_000, stableMs = 60_000 }: RetryOptions,
  random: () => number,
): NextWait {
  let attempts = 0;
  return (openMs, saidMs) => {
    if (openMs >= stableMs) attempts = 0;
    const jitter = random() * Math.min(mostMs, firstMs * 2 ** attempts++);
    if (saidMs === undefined) return jitter;
    return attempts > TRUSTED_ATTEMPTS ? Math.max(saidMs, jitter) : saidMs;
  };
}
