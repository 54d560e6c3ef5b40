/**
 * Spillway for a host on Node: `gateway.websocket` is the `websocket` option of `serve` from `@hono/node-server`.
 *
 * ```ts
 * import { serve } from "@hono/node-server";
 * import { Hono } from "hono";
 * import { createGateway } from "spillway/node";
 *
 * const gateway = await createGateway({ subjects: ["orders.>"] });
 * const { fetch } = new Hono().route("/live", gateway.app);
 * await gateway.start();
 * serve({ fetch, websocket: gateway.websocket });
 * ```
 *
 * @module
 */

import type { ConfigInput } from "./config/input.generated.ts";
import type { GatewayDeps } from "./gateway/deps.ts";
import { createGateway as create, type Gateway } from "./gateway/gateway.ts";
import { createNodeRuntime, type NodeWebSocketOption } from "./runtime/node.ts";

export * from "./mod.ts";
export type { NodeWebSocketOption };

/** Creates a gateway for Node. See `createGateway` of `spillway`; the key `sockets` has no effect here. */
export function createGateway(
  config: ConfigInput = {},
  deps: GatewayDeps<NodeWebSocketOption> = {},
): Promise<Gateway<NodeWebSocketOption>> {
  return create<NodeWebSocketOption>(config, { runtime: createNodeRuntime, ...deps });
}
