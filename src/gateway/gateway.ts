import type { Hono } from "hono";
import type { RevokeRequest } from "../access/revocation-entry.ts";
import type { ConfigChange } from "../config/changes.ts";
import type { Config } from "../config/config.ts";
import type { ConfigInput } from "../config/input.generated.ts";
import { parseConfig } from "../config/parse.ts";
import { libraryLog } from "../log/logtape.ts";
import { systemClock } from "../runtime/clock.ts";
import { createEngine, type EngineDeps } from "./create-engine.ts";
import type { GatewayDeps, PublishHeaders } from "./deps.ts";
import type { GatewayEngine, Placement } from "./engine.ts";
import { GatewayLifecycle } from "./gateway-lifecycle.ts";
import type { Siblings } from "./siblings.ts";
import type { GatewayStats } from "./stats.ts";
import { VERSION } from "./version.ts";

/** A gateway that is mounted in a host's own server. */
export interface Gateway<WebSocketOption = unknown> {
  /**
   * Serves the WebSocket, the events, health, metrics and the console. Mount it with `host.route("/live", gateway.app)`:
   * Hono's `mount()` rewrites requests, and Bun and Deno can upgrade only the original ones.
   */
  readonly app: Hono;
  /**
   * The option that the host's server needs so that it can upgrade. Its type is known to `spillway/bun` and `spillway/node`.
   *
   * - Bun: the `websocket` handler of `Bun.serve`, which must also pass its server to `fetch`.
   * - Deno: `undefined`; `Deno.serve` needs none.
   * - Node: the `websocket` option of `serve` from `@hono/node-server`, a new one at each reading.
   */
  readonly websocket: WebSocketOption;
  /**
   * Takes clients and messages; opens no port but `admin_port`. A NATS that can't be reached yet is no error. Does nothing while it runs.
   *
   * @param signal stops the gateway when it is aborted.
   */
  start(signal?: AbortSignal): Promise<void>;
  /**
   * Drains the source and closes every client with 1001. The gateway can be started again.
   *
   * @param timeoutMs how long this may take; by default `stop_timeout`.
   * @throws SpillwayError `"STOP_TIMEOUT"` (transient): it takes longer, and continues.
   */
  stop(timeoutMs?: number): Promise<void>;
  /**
   * Stops without a storm of clients that reconnect at once: `/readyz` answers 503 at once; after `drain_delay`, clients are
   * disconnected evenly over `drain_window`; then it does what `stop` does. `stop` ends it early.
   *
   * @throws SpillwayError `"STOP_TIMEOUT"` (transient): the stop takes longer than `stop_timeout`, and continues.
   */
  drain(): Promise<void>;
  /**
   * Publishes a message to the source: to NATS, or to the clients of the in-memory source. Core NATS confirms
   * nothing, so a message that NATS refuses is only logged.
   *
   * @param data the payload; a text is encoded as UTF-8.
   * @param headers by name, each with a value or several.
   * @throws SpillwayError `"SUBJECT_INVALID"` (invalid) if the subject is none or has wildcards, `"PUBLISH_FAILED"`
   * (transient) while the gateway doesn't run or its source isn't connected, `"PUBLISH_UNSUPPORTED"` (invalid) if
   * the source that was handed in can't publish.
   */
  publish(subject: string, data: string | Uint8Array, headers?: PublishHeaders): void;
  /**
   * Revokes tokens: within a second, their clients are disconnected with 4401, on every gateway that has the same
   * `revocation_bucket` or `revocation_subject`, and the tokens are refused from then on. With a subject alone, a gateway
   * that starts later doesn't know of it; with neither, only this gateway does.
   *
   * @throws SpillwayError `"REVOCATION_INVALID"` (invalid) if not exactly one of `jti` and `sub` is given, or
   * `"REVOKE_FAILED"` (transient) if it has effect on this gateway, but NATS doesn't take it.
   */
  revoke(request: RevokeRequest): Promise<void>;
  /**
   * Replaces the configuration, all of it or nothing, whether the gateway runs or not. Connections stay. Clients that lose
   * permissions are told which subscriptions end or become narrower; those that what they have shown lets in no more are disconnected with
   * 4401. New limits hold for what comes from then on. The log has each change.
   *
   * ```ts
   * const changes = await gateway.reload({ ...config, max_clients: 20_000 });
   * ```
   *
   * @param config the keys of a configuration file: all of them, not only those that change.
   * @returns the keys that have other values than before, without secrets.
   * @throws SpillwayError `"CONFIG_INVALID"` (invalid) if something is wrong, or `"RESTART_NEEDED"` (invalid) if a key can't
   * change while the gateway runs: create another gateway. Nothing has changed then.
   */
  reload(config: ConfigInput): Promise<readonly ConfigChange[]>;
  /** Returns the gateway's figures: clients, sessions, deliveries, acknowledgements, the source. */
  stats(): GatewayStats;
}

/**
 * Creates a gateway to mount in a host's own Hono app. The keys `host`, `port`, `log_level` and `log_format` have
 * no effect here, and `workers` must be 1: a library starts no processes. Opens nothing until `start`.
 *
 * ```ts
 * const gateway = await createGateway({ subjects: ["orders.>"], nats_url: "nats://localhost:4222" });
 * const app = new Hono().route("/live", gateway.app);
 * await gateway.start();
 * ```
 *
 * @param config the keys of a configuration file.
 * @throws SpillwayError `"CONFIG_INVALID"` (invalid): the message has one line for each problem, with key, value and rule.
 */
export async function createGateway<WebSocketOption = unknown>(
  config: ConfigInput = {},
  deps: GatewayDeps<WebSocketOption> = {},
): Promise<Gateway<WebSocketOption>> {
  const lifecycle = createMountedGateway(parseConfig(config), deps);
  const engine = await lifecycle.prepare();
  return {
    app: engine.app,
    get websocket() {
      return engine.websocket as WebSocketOption;
    },
    start: (signal) => lifecycle.start(signal),
    stop: (timeoutMs) => lifecycle.stop(timeoutMs),
    drain: () => lifecycle.drain(),
    publish: (subject, data, headers) => engine.publish(subject, data, headers),
    revoke: (request) => engine.revoke(request),
    reload: (next) => lifecycle.reload(() => parseConfig(next)),
    stats: () => engine.stats(),
  };
}

/**
 * Creates a gateway that listens on the configured address. Opens nothing until `start`.
 *
 * @param siblings the other processes of the gateway, if it runs in several.
 */
export function createListeningGateway(
  config: Config,
  deps: EngineDeps = {},
  siblings?: Siblings,
): GatewayLifecycle<GatewayEngine> {
  return createLifecycle(config, deps, "listens", siblings);
}

/** Creates a gateway whose app a host serves. Opens nothing until `start`. */
export function createMountedGateway(
  config: Config,
  deps: GatewayDeps = {},
): GatewayLifecycle<GatewayEngine> {
  return createLifecycle(config, deps, "mounted");
}

function createLifecycle(
  config: Config,
  deps: EngineDeps,
  placement: Placement,
  siblings?: Siblings,
): GatewayLifecycle<GatewayEngine> {
  return new GatewayLifecycle(config, {
    makeEngine: (report) => createEngine(config, deps, report, placement, siblings),
    clock: deps.clock ?? systemClock,
    log: deps.log ?? libraryLog(),
    version: VERSION,
  });
}
