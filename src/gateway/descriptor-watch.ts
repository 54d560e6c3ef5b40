import type { Cancel, Clock } from "../core/ports/clock.ts";
import type { Log } from "../core/ports/log.ts";
import { canOpen } from "../runtime/descriptors.ts";
import type { Listener } from "../runtime/runtime.ts";

/** How often to check whether the process can still accept connections. */
const INTERVAL_MS = 500;
/** Connections that wait for their next request end after as many checks in a row without a file descriptor. */
const CHECKS_BEFORE_END = 10;

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
  #checksWithout = 0;

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  /** Watches the listeners for clients and for operators, if there are any, and keeps them accepting until {@linkcode stop}. */
  start(clients: Listener | undefined, operators: Listener | undefined): void {
    if (clients === undefined && operators === undefined) return;
    this.#cancel = this.#clock.after(INTERVAL_MS, () => {
      this.#check(clients, operators);
      this.start(clients, operators);
    });
  }

  stop(): void {
    this.#cancel();
    this.problem = undefined;
  }

  #check(clients: Listener | undefined, operators: Listener | undefined): void {
    const isExhausted = !canOpen();
    this.#checksWithout = isExhausted ? this.#checksWithout + 1 : 0;
    if (this.#checksWithout >= CHECKS_BEFORE_END) {
      for (const one of [clients, operators]) one?.endIdle?.();
    }
    // A moment without descriptors between two checks is enough to stop one.
    if (!isExhausted) for (const one of [clients, operators]) one?.keepAccepting?.();
    if (!isExhausted && clients?.hasRoom?.() !== false) {
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
