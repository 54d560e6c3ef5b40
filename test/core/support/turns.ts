import type { Clock } from "../../../src/core/ports/clock.ts";
import { Turns } from "../../../src/core/timing/turn-share.ts";

/** Returns turns of so many steps, in which no job may fail. */
export function turnsOf(clock: Clock, stepsPerTurn?: number): Turns {
  const failed = (error: unknown): void => {
    throw error;
  };
  return new Turns(clock, failed, stepsPerTurn);
}
