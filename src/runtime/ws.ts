import type * as Ws from "ws";

/**
 * The package `ws` itself, on every runtime.
 *
 * Bun resolves `"ws"` to a replacement of its own. That takes the connection away from `node:http`, so that shared frames
 * can't be written to its socket. The path of the file leads to the package that npm installed.
 */
const ws: typeof Ws = await import(
  "Bun" in globalThis ? new URL("wrapper.mjs", import.meta.resolve("ws/package.json")).href : "ws"
);

export const { WebSocket, WebSocketServer } = ws;
