import type { Clock } from "../core/ports/clock.ts";
import { reasonOf } from "../core/ports/errors.ts";
import type { Log } from "../core/ports/log.ts";
import type { ClientEnd, ClientInfo, ConnectionObserver } from "../core/ports/observer.ts";
import { LogLimit } from "../core/timing/log-limit.ts";
import type { ConnectHook, DisconnectHook } from "./deps.ts";

/** Minimum time between two log lines about the same hook. */
const INTERVAL_MS = 1000;

/**
 * Calls the host's hooks, and logs their errors. Calls them after the core's own work, so that a hook can call the
 * gateway.
 */
export class ConnectionHooks implements ConnectionObserver {
  readonly #onConnect: ConnectHook | undefined;
  readonly #onDisconnect: DisconnectHook | undefined;
  readonly #log: Log;
  readonly #limit: LogLimit<string>;

  constructor(
    hooks: { onConnect?: ConnectHook | undefined; onDisconnect?: DisconnectHook | undefined },
    log: Log,
    clock: Clock,
  ) {
    this.#onConnect = hooks.onConnect;
    this.#onDisconnect = hooks.onDisconnect;
    this.#log = log;
    this.#limit = new LogLimit(clock, INTERVAL_MS);
  }

  connected(client: ClientInfo): void {
    const hook = this.#onConnect;
    if (hook !== undefined) this.#call("onConnect", () => hook(client));
  }

  disconnected(client: ClientInfo, end: ClientEnd): void {
    const hook = this.#onDisconnect;
    if (hook !== undefined) this.#call("onDisconnect", () => hook(client, end));
  }

  #call(name: string, hook: () => void | Promise<void>): void {
    queueMicrotask(() => {
      try {
        Promise.resolve(hook()).catch((error: unknown) => this.#failed(name, error));
      } catch (error) {
        this.#failed(name, error);
      }
    });
  }

  #failed(hook: string, error: unknown): void {
    const others = this.#limit.othersBefore(hook);
    if (others === undefined) return;
    this.#log.error("The hook {hook} failed: {reason}", {
      event: "hook_failed",
      hook,
      reason: reasonOf(error),
      error,
      others,
    });
  }
}
