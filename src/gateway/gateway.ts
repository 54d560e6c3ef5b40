import type { Hono } from "hono";
import { parseConfig } from "../config/parse.ts";
import { libraryLog } from "../log/logtape.ts";
import { systemClock } from "../runtime/clock.ts";
import type { Discoverable } from "../streamkit/contract.ts";
import { Output } from "../streamkit/output.ts";
import { createEngine, type EngineDeps } from "./engine.ts";
import { VERSION } from "./version.ts";

/** A gateway that lives in a host's own server. */
export interface Gateway extends Omit<Discoverable, "outputPorts"> {
  /**
   * The WebSocket, health, metrics and the console, to be mounted with `host.route("/live", app)`.
   * Hono's `mount()` rewrites requests, and Bun and Deno can only upgrade the original ones.
   */
  readonly app: Hono;
  /**
   * What the host's server needs beside the routes to upgrade; typed so that it fits there.
   *
   * - Bun: the `websocket` handler of `Bun.serve`, which must also pass its server to `fetch`.
   * - Deno: nothing.
   * - Node: the `websocket` option of `serve` from `@hono/node-server`, a new one at each reading.
   */
  readonly websocket: never;
  /** Takes clients and messages; opens no port. NATS that cannot be reached yet is no error. */
  start(): Promise<void>;
  /** Drains the source and closes every client with 1001; ends in `timeoutMs`, by default `stop_timeout`. */
  stop(timeoutMs?: number): Promise<void>;
}

/**
 * Makes a gateway to mount into a host's own Hono app. `host`, `port` and `log_…` have no meaning here.
 *
 * @param rawConfig in the shape of a configuration file: `{ subjects: ["orders.>"], nats_url: "…" }`.
 * @throws SpillwayError `"CONFIG_INVALID"` (invalid).
 */
export async function createGateway(
  rawConfig: Readonly<Record<string, unknown>> = {},
  deps: EngineDeps = {},
): Promise<Gateway> {
  const config = parseConfig(rawConfig);
  // The app must be there before the start, so the component shown on it is named ahead of its making.
  const component: Discoverable = {
    meta: () => output.meta(),
    inputPorts: () => output.inputPorts(),
    outputPorts: () => output.outputPorts(),
    configSchema: () => output.configSchema(),
    health: () => output.health(),
    dataFlow: () => output.dataFlow(),
  };
  const engine = await createEngine(config, deps, component, "mounted");
  const output = new Output(config, {
    makeEngine: async () => engine,
    clock: systemClock,
    log: deps.logger ?? libraryLog(),
    version: VERSION,
  });
  const { outputPorts: _, ...described } = component;
  return {
    ...described,
    app: engine.app,
    get websocket() {
      return engine.websocket as never;
    },
    start: () => output.start(),
    stop: (timeoutMs = config.stopTimeoutMs) => output.stop(timeoutMs),
  };
}
