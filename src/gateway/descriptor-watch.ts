import type { Cancel, Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import { canOpen } from "../runtime/descriptors.ts";
import type { Listener } from "../runtime/runtime.ts";

/** How often to check whether the process can still accept connections. */
const INTERVAL_MS = 500;

/**
 * Notices when file descriptors run out, because no runtime reports it. New connections then wait in the kernel or are
 * dropped; open ones continue.
 */
export class DescriptorWatch {
  /** Why no connection can be accepted now, for `/readyz`. */
  problem: string | undefined;
  readonly #clock: Clock;
  readonly #log: Log;
  #cancel: Cancel = () => {};

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  /** Watches the listener for clients, and keeps it and others accepting, until {@linkcode stop}. */
  start(listener: Listener, others: readonly Listener[] = []): void {
    this.#cancel = this.#clock.after(INTERVAL_MS, () => {
      this.#check(listener, others);
      this.start(listener, others);
    });
  }

  stop(): void {
    this.#cancel();
    this.problem = undefined;
  }

  #check(listener: Listener, others: readonly Listener[]): void {
    const isExhausted = !canOpen();
    // A moment without descriptors between two checks is enough to stop one.
    if (!isExhausted) for (const one of [listener, ...others]) one.keepAccepting?.();
    if (!isExhausted && listener.hasRoom?.() !== false) {
      if (this.problem === undefined) return;
      this.problem = undefined;
      this.#log.info("Connections are accepted again", { event: "descriptors_free" });
      return;
    }
    if (this.problem !== undefined) return;
    this.problem = "no file descriptors are left for new connections: raise the limit (ulimit -n)";
    this.#log.warn(
      "No file descriptors are left: new connections wait or are dropped, open ones are still served. Raise the limit (ulimit -n)",
      { event: "descriptors_exhausted" },
    );
  }
}
