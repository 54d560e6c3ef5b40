/**
 * Spillway as a library: {@linkcode createGateway} creates a gateway to mount in your own Hono app.
 *
 * - `spillway/bun`, `spillway/deno`, `spillway/node`: the same, with the types of one runtime.
 * - `spillway/streamkit`: StreamKit's component, which listens on a port of its own.
 *
 * @module
 */

export type { AccessRequest, Credentials, TokenPlace } from "./access/authenticator.ts";
export type { Claims } from "./access/claims.ts";
export type { AuthorizeHook } from "./access/hook.ts";
export type { RevokeRequest } from "./access/revocation-entry.ts";
export type { ConfigChange } from "./config/changes.ts";
export type { Config } from "./config/config.ts";
export { jsonSchema } from "./config/describe.ts";
export type { ConfigInput } from "./config/input.generated.ts";
export { parseConfig } from "./config/parse.ts";
export type { Cancel, Clock } from "./core/ports/clock.ts";
export { type ErrorClass, type ErrorCode, SpillwayError } from "./core/ports/errors.ts";
export type { Log } from "./core/ports/log.ts";
export type { ClientEnd, ClientInfo } from "./core/ports/observer.ts";
export type {
  ClientSocket,
  Fanout,
  FanoutResult,
  SendResult,
} from "./core/ports/socket.ts";
export type {
  DurableListener,
  DurableMessage,
  DurableQuery,
  DurableRefusal,
  DurableState,
  Durables,
  DurableUse,
  MessageSource,
  Publisher,
  Settlement,
  SourceFault,
  SourceListener,
  SourceMessage,
  SourceStatus,
  StartPoint,
  StreamExtent,
  StreamHistory,
  StreamPage,
  StreamPosition,
  StreamQuery,
  StreamState,
  StreamStatus,
} from "./core/ports/source.ts";
export type { TextFrame } from "./core/ports/text-frame.ts";
export type { ConnectHook, DisconnectHook, GatewayDeps, PublishHeaders } from "./gateway/deps.ts";
export { createGateway, type Gateway } from "./gateway/gateway.ts";
export type { GatewayStats } from "./gateway/stats.ts";
export { VERSION } from "./gateway/version.ts";
export type {
  ConnectionEvents,
  CreateRuntime,
  Listener,
  ListenOptions,
  Runtime,
  RuntimeOptions,
  SocketRuntime,
  TlsFiles,
} from "./runtime/runtime.ts";
