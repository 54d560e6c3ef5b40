import type { CloseCause } from "../../protocol/close-codes.ts";

/** A client, as those outside of the core know it. */
export interface ClientInfo {
  /** The client's number since the start of the gateway: the log uses it too. */
  readonly id: number;
  /** The peer's IP address as the runtime sees it; behind a proxy, it is the proxy's. */
  readonly address: string;
  readonly dialect: "plain" | "v1" | "sse";
}

/** Why and when a client's connection ended. */
export interface ClientEnd {
  /**
   * - A {@linkcode CloseCause}: the gateway closed the connection.
   * - `"client"`: the client sent a close frame.
   * - `"vanished"`: the connection ended without one.
   */
  readonly reason: CloseCause | "client" | "vanished";
  /** For how long the client was connected. */
  readonly connectedMs: number;
}

/** Is told of connections while the core works: returns at once, never throws and calls nothing of the core. */
export interface ConnectionObserver {
  connected(client: ClientInfo): void;
  disconnected(client: ClientInfo, end: ClientEnd): void;
}
