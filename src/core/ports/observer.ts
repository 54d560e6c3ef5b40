import type { CloseCause } from "../../protocol/close-codes.ts";

/** A client, as those outside of the core know it. */
export interface ClientInfo {
  /** The client's number since the start of the gateway: the log uses it too. */
  readonly id: number;
  /** The peer's IP address as the runtime sees it; behind a proxy, it is the proxy's. */
  readonly address: string;
  readonly dialect: "plain" | "v1" | "sse";
  /** The account of NATS that it belongs to. Absent if that is the default one, or not known yet. */
  readonly account?: string;
  /** The name that the client has proved; `""` for an anonymous client. */
  readonly sub: string;
  /** The issuer that vouches for `sub`; `""` for an anonymous client. */
  readonly issuer: string;
  /** The name of the client's token; `undefined`: it has none. */
  readonly jti: string | undefined;
}

/** A request that the client's grant doesn't allow. */
export interface DeniedRequest {
  readonly action: "subscribe" | "publish" | "request" | "presence";
  /** The reason, as the client is told. */
  readonly reason: string;
}

/** Why and when a client's connection ended. */
export interface ClientEnd {
  /**
   * - A {@linkcode CloseCause}: the gateway closed the connection.
   * - `"client"`: the client sent a close frame.
   * - `"vanished"`: the connection ended without one.
   */
  readonly reason: CloseCause | "client" | "vanished";
  /** The time that the client was connected. */
  readonly connectedMs: number;
  /**
   * The bytes that the client was sent and hadn't confirmed: no more than these can be lost with its connection. For clients
   * that confirm nothing (server-sent events, Deno's own sockets), the bytes that the kernel hadn't taken.
   */
  readonly unconfirmedBytes: number;
}

/** Is told of connections while the core works: returns at once, never throws and calls nothing of the core. */
export interface ConnectionObserver {
  connected(client: ClientInfo): void;
  disconnected(client: ClientInfo, end: ClientEnd): void;
  denied?(client: ClientInfo, request: DeniedRequest): void;
}
