const SHORTEST_MS = 250;
const LONGEST_MS = 5_000;

/**
 * The times to wait before retries: from 250 ms, twice as long each time, to 5 s. Up to half of each is left out at
 * random, so that gateways that lost the same server don't return together.
 */
export class Backoff {
  #attempts = 0;

  /** Returns how many milliseconds to wait now. */
  next(): number {
    const most = Math.min(LONGEST_MS, SHORTEST_MS * 2 ** Math.min(this.#attempts++, 10));
    return most * (1 - Math.random() / 2);
  }

  /** A retry succeeded: the next wait is short again. */
  reset(): void {
    this.#attempts = 0;
  }
}

/** Resolves with the promise's value, or with `undefined` if the signal is aborted first. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  if (signal.aborted) {
    promise.catch(() => {});
    return Promise.resolve(undefined);
  }
  // `Promise.race` with a promise of the signal would keep every loser in memory until the signal.
  return new Promise((resolve, reject) => {
    const abort = (): void => resolve(undefined);
    signal.addEventListener("abort", abort);
    void promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

/** Waits, but not beyond the signal; leaves no timer behind. */
export async function pause(delayMs: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, delayMs);
  await unlessAborted(promise, signal);
  clearTimeout(timer);
}
