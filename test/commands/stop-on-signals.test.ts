import { afterEach, expect, test } from "bun:test";
import { stopOnSignals } from "../../src/commands/stop-on-signals.ts";
import { SpillwayError } from "../../src/core/ports/errors.ts";

const SIGNALS = ["SIGTERM", "SIGINT"] as const;
afterEach(() => {
  // Nothing else in this process listens for them.
  for (const signal of SIGNALS) process.removeAllListeners(signal);
});

/** Asks a gateway to drain. @returns the exit code of its process, and what the log says. */
async function drained(drain: () => Promise<void>) {
  const events: unknown[] = [];
  const note = (_: string, properties?: Readonly<Record<string, unknown>>): void => {
    events.push(properties?.event);
  };
  const gateway = { drain, stop: drain, onDrainRequest: undefined as (() => void) | undefined };
  const exit = stopOnSignals(gateway, { debug: note, info: note, warn: note, error: note });
  gateway.onDrainRequest?.();
  return { code: await exit, events };
}

test("A process whose gateway has drained in time ends with 0", async () => {
  expect(await drained(async () => {})).toEqual({ code: 0, events: ["stopping", "stopped"] });
});

test("A process whose gateway takes longer than stop_timeout ends with 2, and says so", async () => {
  const late = async (): Promise<void> => {
    throw new SpillwayError("STOP_TIMEOUT", "Cannot stop in 10000 milliseconds");
  };
  expect(await drained(late)).toEqual({ code: 2, events: ["stopping", "stop_failed"] });
});

test("A drain that an operator began takes another request and a signal, and SIGINT ends it early", async () => {
  const events: unknown[] = [];
  const note = (_: string, properties?: Readonly<Record<string, unknown>>): void => {
    events.push(properties?.event);
  };
  const stopped = Promise.withResolvers<void>();
  const gateway = {
    drain: () => stopped.promise,
    stop: async () => stopped.resolve(),
    onDrainRequest: undefined as (() => void) | undefined,
  };
  const exit = stopOnSignals(gateway, { debug: note, info: note, warn: note, error: note });
  gateway.onDrainRequest?.();
  gateway.onDrainRequest?.();
  process.emit("SIGINT");
  expect(await exit).toBe(0);
  expect(events).toEqual(["stopping", "stopped"]);
});
