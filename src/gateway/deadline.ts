import type { Cancel, Clock } from "../core/ports/clock.ts";

/** Waits for work for at most `timeoutMs`, then rejects with the error. The work continues. */
export async function within(
  clock: Clock,
  timeoutMs: number,
  work: Promise<void>,
  late: () => Error,
): Promise<void> {
  let cancel: Cancel = () => {};
  const timeout = new Promise<never>((_, reject) => {
    cancel = clock.after(timeoutMs, () => reject(late()));
  });
  await Promise.race([work, timeout]).finally(cancel);
}
