/** Where clients of the load connect, and what is spoken there. */
export interface Endpoint {
  readonly port: number;
  readonly path: string;
  /**
   * - `"envelope"`: one text frame is one message: Spillway's plain dialect, the controls, and the
   *   C reference.
   * - `"nats"`: nats-server's own WebSocket listener.
   * - `"socket.io"`: Engine.IO 4 with Socket.IO 5 on it, over WebSocket alone.
   */
  readonly dialect: "envelope" | "nats" | "socket.io";
  readonly subject: string;
}
