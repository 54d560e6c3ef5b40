const SHORTEST_MS = 250;
const LONGEST_MS = 5_000;

/**
 * How long to wait before trying again: twice as long each time, from 250 ms to 5 s, of which a
 * random half is left out, so that many gateways that lost the same server don't return together.
 */
export class Backoff {
  #attempts = 0;

  /** Milliseconds to wait now. */
  next(): number {
    const most = Math.min(LONGEST_MS, SHORTEST_MS * 2 ** Math.min(this.#attempts++, 10));
    return most * (1 - Math.random() / 2);
  }

  /** What was tried works: the next wait is short again. */
  reset(): void {
    this.#attempts = 0;
  }
}

/** What a promise gives, or `undefined` when the signal is given first. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  if (signal.aborted) {
    promise.catch(() => {});
    return Promise.resolve(undefined);
  }
  // A race with a promise of the signal would hold on to every loser until the signal comes.
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
