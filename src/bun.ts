/**
 * Spillway for a host on Bun: `gateway.websocket` is the `websocket` option of `Bun.serve`.
 *
 * ```ts
 * import { Hono } from "hono";
 * import { createGateway } from "spillway/bun";
 *
 * const gateway = await createGateway({ subjects: ["orders.>"] });
 * const { fetch } = new Hono().route("/live", gateway.app);
 * await gateway.start();
 * Bun.serve({ fetch, websocket: gateway.websocket });
 * ```
 *
 * @module
 */

import type { ConfigInput } from "./config/input.generated.ts";
import type { GatewayDeps } from "./gateway/deps.ts";
import { createGateway as create, type Gateway } from "./gateway/gateway.ts";
import { type BunWebSocketHandler, createBunRuntime } from "./runtime/bun.ts";

export * from "./mod.ts";
export type { BunWebSocketHandler };

/** Creates a gateway for Bun. See `createGateway` of `spillway`; the key `sockets` has no effect here. */
export function createGateway(
  config: ConfigInput = {},
  deps: GatewayDeps<BunWebSocketHandler> = {},
): Promise<Gateway<BunWebSocketHandler>> {
  return create<BunWebSocketHandler>(config, { runtime: createBunRuntime, ...deps });
}
