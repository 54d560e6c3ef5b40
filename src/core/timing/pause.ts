import type { Cancel, Clock } from "../ports/clock.ts";

/** Waits for a time, or until the signal is aborted. */
export function pause(
  clock: Pick<Clock, "after">,
  delayMs: number,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve) => {
    let cancel: Cancel = () => {};
    const done = (): void => {
      cancel();
      signal.removeEventListener("abort", done);
      resolve();
    };
    if (signal.aborted) return resolve();
    cancel = clock.after(delayMs, done);
    signal.addEventListener("abort", done);
  });
}
