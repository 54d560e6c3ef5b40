/**
 * Spillway as StreamKit's component: a WebSocket output that listens on a port of its own, and a registry that
 * creates components from a flow file's entries.
 *
 * @module
 */

import { createListeningGateway } from "../gateway/gateway.ts";
import { outputFactory } from "./factory.ts";

export { componentSchema } from "../config/describe.ts";
export { type ErrorClass, type ErrorCode, SpillwayError } from "../core/ports/errors.ts";
export type { Log } from "../core/ports/log.ts";
export {
  type ConstructorConfig,
  defaultConstructorConfig,
  type NatsSecurity,
  type OutputDeps,
  type SecurityConfig,
} from "./constructor-config.ts";
export type {
  ComponentConfig,
  ComponentType,
  ConfigSchema,
  Discoverable,
  Factory,
  FlowMetrics,
  HealthStatus,
  LifecycleComponent,
  Metadata,
  NetworkPortConfig,
  Port,
  PortConfig,
  Registration,
  SubjectPortConfig,
} from "./contract.ts";
export { defaultConfig, FACTORY_NAME } from "./factory.ts";
export { Output } from "./output.ts";
export { Registry } from "./registry.ts";

export const { createOutput, newOutputFromConfig, register } =
  outputFactory(createListeningGateway);
