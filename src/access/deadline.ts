import type { Clock } from "../core/ports/clock.ts";

/** Waits for an answer. @throws if it takes longer than the timeout. */
export async function withDeadline<T>(
  clock: Pick<Clock, "after">,
  timeoutMs: number,
  ask: () => Promise<T>,
): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const cancel = clock.after(timeoutMs, () => {
    reject(new Error(`there is no answer after ${timeoutMs} ms`));
  });
  try {
    return await Promise.race([ask(), promise]);
  } finally {
    cancel();
  }
}
