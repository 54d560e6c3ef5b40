import type { ConfigChange } from "../../src/config/changes.ts";
import { Meter } from "../../src/core/metering/meter.ts";
import { SpillwayError } from "../../src/core/ports/errors.ts";
import type { Engine } from "../../src/gateway/gateway-lifecycle.ts";

/** A promise that a test fulfils or rejects when it wants to. */
export class Gate {
  readonly opened: Promise<void>;
  open: () => void = () => {};
  fail: (reason: unknown) => void = () => {};

  constructor() {
    this.opened = new Promise((resolve, reject) => {
      this.open = resolve;
      this.fail = reject;
    });
  }
}

/** An engine that writes down what it is told, and does it as fast as the test lets it. */
export class FakeEngine implements Engine {
  readonly meter = new Meter();
  readonly calls: string[] = [];
  port = 40_000;
  /** How often it has listened, and how often it has ended that. */
  opened = 0;
  closed = 0;
  /** The most often that it was open at a time. */
  mostOpen = 0;
  /** Ends the drain that is under way. */
  endDrain: () => void = () => {};
  /** The next start waits for it. */
  startGate: Gate | undefined;
  /** The next stop waits for it. */
  stopGate: Gate | undefined;

  async start(): Promise<{ host: string; port: number }> {
    this.calls.push("start");
    const gate = this.startGate;
    this.startGate = undefined;
    await gate?.opened;
    this.opened++;
    this.mostOpen = Math.max(this.mostOpen, this.opened - this.closed);
    return { host: "127.0.0.1", port: this.port };
  }

  async drain(signal: AbortSignal): Promise<void> {
    await this.#untilEnd("drain", signal);
  }

  async leave(signal: AbortSignal): Promise<void> {
    await this.#untilEnd("leave", signal);
  }

  async #untilEnd(call: string, signal: AbortSignal): Promise<void> {
    this.calls.push(call);
    await new Promise<void>((resolve) => {
      this.endDrain = resolve;
      signal.addEventListener("abort", () => resolve());
    });
  }

  async stop(timeoutMs: number): Promise<void> {
    this.calls.push(`stop ${timeoutMs}`);
    const gate = this.stopGate;
    this.stopGate = undefined;
    await gate?.opened;
    this.closed++;
  }

  async reload(): Promise<readonly ConfigChange[]> {
    this.calls.push("reload");
    return [];
  }

  /** The next start finds its port in use. */
  takePort(): SpillwayError {
    const cause = new SpillwayError(
      "LISTEN_FAILED",
      "Cannot listen on 127.0.0.1:8080: the port is in use",
    );
    this.startGate = new Gate();
    this.startGate.opened.catch(() => {});
    this.startGate.fail(cause);
    return cause;
  }
}

/** Lets everything happen that waits for nothing but its turn. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** What the promise was rejected with. */
export async function rejection(promise: Promise<unknown>): Promise<SpillwayError> {
  const error = await promise.then(
    () => new TypeError("it was fulfilled"),
    (reason: unknown) => reason,
  );
  if (error instanceof SpillwayError) return error;
  throw error;
}

/** What the call has thrown. */
export function thrown(call: () => unknown): SpillwayError {
  try {
    call();
  } catch (error) {
    if (error instanceof SpillwayError) return error;
    throw error;
  }
  throw new TypeError("it has thrown nothing");
}
