import type { Clock } from "./ports/clock.ts";
import { pause } from "./timing/pause.ts";

/** The shortest time between two steps. */
const STEP_MS = 10;
/** At least so many clients leave per second, so that a few of them need no whole window. */
const LEAST_PER_SECOND = 100;

/** Returns over which time so many clients leave, at most `windowMs`. */
export function departureMs(clients: number, windowMs: number): number {
  return Math.min(windowMs, (clients * 1000) / LEAST_PER_SECOND);
}

interface DepartureParts<T> {
  readonly clock: Pick<Clock, "nowMs" | "after">;
  /** From 0 to 1. */
  readonly random: () => number;
  letGo(client: T): void;
  /** Whether nobody is left who could go. */
  isOver(): boolean;
}

/**
 * Lets clients go evenly over a time, in a random order: clients that connected together, or from one address, don't
 * reconnect together.
 *
 * @param signal ends it early; the remaining clients are not let go.
 */
export async function departEvenly<T>(
  clients: Iterable<T>,
  overMs: number,
  { clock, random, letGo, isOver }: DepartureParts<T>,
  signal: AbortSignal,
): Promise<void> {
  const order = shuffled([...clients], random);
  const startMs = clock.nowMs();
  const dueMs = (index: number): number => startMs + ((index + 0.5) / order.length) * overMs;
  let next = 0;
  while (next < order.length && !isOver()) {
    await pause(clock, Math.max(STEP_MS, dueMs(next) - clock.nowMs()), signal);
    if (signal.aborted) return;
    while (next < order.length && dueMs(next) <= clock.nowMs()) letGo(order[next++]!);
  }
}

/** Fisher and Yates' shuffle. */
function shuffled<T>(items: T[], random: () => number): T[] {
  for (let last = items.length - 1; last > 0; last--) {
    const at = Math.min(last, Math.floor(random() * (last + 1)));
    [items[at], items[last]] = [items[last]!, items[at]!];
  }
  return items;
}
