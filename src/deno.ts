/**
 * Spillway for a host on Deno: `Deno.serve(app.fetch)` needs no `gateway.websocket`.
 *
 * ```ts
 * import { Hono } from "hono";
 * import { createGateway } from "spillway/deno";
 *
 * const gateway = await createGateway({ subjects: ["orders.>"] });
 * const app = new Hono().route("/live", gateway.app);
 * await gateway.start();
 * Deno.serve(app.fetch);
 * ```
 *
 * @module
 */

import type { ConfigInput } from "./config/input.generated.ts";
import type { GatewayDeps } from "./gateway/deps.ts";
import { createGateway as create, type Gateway } from "./gateway/gateway.ts";
import { createDenoRuntime } from "./runtime/deno.ts";

export * from "./mod.ts";

/** Creates a gateway for Deno. See `createGateway` of `spillway`; the key `sockets` has no effect here. */
export function createGateway(
  config: ConfigInput = {},
  deps: GatewayDeps<undefined> = {},
): Promise<Gateway<undefined>> {
  return create<undefined>(config, { runtime: createDenoRuntime, ...deps });
}
