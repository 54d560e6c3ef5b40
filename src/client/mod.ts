/**
 * The client of Spillway: streams of NATS messages that continue over lost connections, in browsers, workers, React
 * Native, Bun, Deno and Node.
 *
 * ```ts
 * const orders = connect("wss://live.example/ws").subscribe<Order>("orders.eu.>");
 * for await (const item of orders) {
 *   if (item.type === "data") show(item.payload);
 *   else if (item.type === "gap") reload(item.reason);
 * }
 * ```
 *
 * @module
 */
import { Connection, type ConnectOptions } from "./connection.ts";
import type { UrlOption } from "./link.ts";
import { openWebSocket } from "./websocket-transport.ts";

export type { DeliveryMode, From, Policy } from "../protocol/fields.ts";
export type { GapReason, PresenceMember, UpstreamState } from "../protocol/server-frames.ts";
export type {
  Connection,
  ConnectionEvents,
  ConnectOptions,
  Published,
  Response,
} from "./connection.ts";
export { type CursorStore, MemoryCursors, webStorageCursors } from "./cursors.ts";
export { type ClientErrorCode, SpillwayError } from "./errors.ts";
export { webSocketOrEvents } from "./fallback-transport.ts";
export type { CaughtUp, Data, End, Gap, Invalid, Item } from "./item.ts";
export type { ConnectionState, UrlOption } from "./link.ts";
export type {
  ChannelLike,
  LifecycleEvent,
  LocksLike,
  Platform,
  WebSocketLike,
} from "./platform.ts";
export { type Presence, type PresenceOptions, type PresenceState, presence } from "./presence.ts";
export type { MessageOptions, PublishOptions, RequestOptions } from "./requests.ts";
export type { RetryOptions } from "./retry.ts";
export { shared } from "./shared.ts";
export type { SnapshotStore } from "./snapshot-store.ts";
export { type EventsOptions, serverSentEvents } from "./sse-transport.ts";
export type { SchemaIssue, StandardSchema } from "./standard-schema.ts";
export {
  GapError,
  type SubscribeOptions,
  type Subscription,
  type SubscriptionTerms,
} from "./subscription.ts";
export type { TokenOption, TokenReason } from "./token.ts";
export type {
  DataFrame,
  IncomingFrame,
  OpenTransport,
  Transport,
  TransportEvents,
  TransportTarget,
  Welcome,
} from "./transport.ts";
export { openWebSocket } from "./websocket-transport.ts";

/**
 * Connects to a gateway, and again whenever the connection is lost, until it is closed.
 *
 * @param url the gateway's WebSocket, such as `wss://live.example/ws`, or a function that returns it for each attempt.
 */
export function connect(url: UrlOption, options: ConnectOptions = {}): Connection {
  return new Connection(url, options, options.transport ?? openWebSocket);
}
