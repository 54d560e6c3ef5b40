import type * as Ws from "ws";

/**
 * The package `ws` itself, on every runtime.
 *
 * Bun answers the specifier `"ws"` with a replacement of its own, which takes the connection out of
 * `node:http`'s hands, so that nobody can write shared frames to its socket. The package's file
 * by its path is what npm installed.
 */
const ws: typeof Ws = await import(
  "Bun" in globalThis ? new URL("wrapper.mjs", import.meta.resolve("ws/package.json")).href : "ws"
);

export const { WebSocket, WebSocketServer } = ws;
