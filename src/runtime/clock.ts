import type { Clock } from "../core/ports/clock.ts";

/** The system's time. Bun, Deno and Node have the same timers. */
export const systemClock: Clock = {
  wallMs: () => Date.now(),
  nowMs: () => performance.now(),
  after(delayMs, call) {
    const timer = setTimeout(call, delayMs);
    return () => clearTimeout(timer);
  },
  soon(call) {
    const timer = setImmediate(call);
    return () => clearImmediate(timer);
  },
};
