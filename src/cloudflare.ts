/**
 * Spillway for Cloudflare Workers: a Durable Object holds the gateway, its clients and its connection to NATS.
 *
 * ```ts
 * import { createWorker, SpillwayObject } from "spillway/cloudflare";
 *
 * export { SpillwayObject };
 * export default createWorker();
 * ```
 *
 * The gateway is configured by variables and secrets of the Worker (`SPILLWAY_SUBJECTS`, `NATS_URL`), and reaches NATS
 * by WebSocket. `docs/edge.md` has the configuration of the Worker, the limits and the costs.
 *
 * @module
 */

export {
  createWorker,
  type DurableObjectContext,
  type GatewayWorker,
  SpillwayObject,
  type WorkerEnvironment,
  type WorkerOptions,
} from "./edge/cloudflare.ts";
