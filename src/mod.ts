/**
 * Spillway as a library.
 *
 * - `createGateway` makes a gateway to mount into your own Hono app.
 * - `createOutput`, `newOutputFromConfig` and `register` are StreamKit's component, which listens on a port of its own.
 *
 * @module
 */

export type { Config } from "./config/config.ts";
export { componentSchema, jsonSchema } from "./config/describe.ts";
export { parseConfig } from "./config/parse.ts";
export { type ErrorClass, SpillwayError } from "./core/ports/errors.ts";
export type { Log } from "./core/ports/log.ts";
export type { EngineDeps as GatewayDeps } from "./gateway/engine.ts";
export { createGateway, type Gateway } from "./gateway/gateway.ts";
export { createOutput, newOutputFromConfig, register } from "./gateway/output.ts";
export { VERSION } from "./gateway/version.ts";
export {
  type ConstructorConfig,
  defaultConstructorConfig,
  type SecurityConfig,
} from "./streamkit/constructor-config.ts";
export type {
  ComponentConfig,
  Discoverable,
  FlowMetrics,
  HealthStatus,
  LifecycleComponent,
  Metadata,
  Port,
  Registration,
} from "./streamkit/contract.ts";
export { defaultConfig } from "./streamkit/factory.ts";
export { Output } from "./streamkit/output.ts";
export { Registry } from "./streamkit/registry.ts";
