import type { Cancel, Clock } from "../ports/clock.ts";

/**
 * Waits for work for at most a time. Work that takes longer continues.
 *
 * @param late makes the error. Default: that there is no answer.
 * @throws this error if the work takes longer.
 */
export async function withDeadline<T>(
  clock: Pick<Clock, "after">,
  timeoutMs: number,
  work: () => Promise<T>,
  late: () => Error = () => new Error(`there is no answer after ${timeoutMs} ms`),
): Promise<T> {
  let cancel: Cancel = () => {};
  const timeout = new Promise<never>((_, reject) => {
    cancel = clock.after(timeoutMs, () => reject(late()));
  });
  try {
    return await Promise.race([work(), timeout]);
  } finally {
    cancel();
  }
}
