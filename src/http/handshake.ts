import type { Context } from "hono";
import { problem } from "./problem.ts";

/** 16 bytes in base64 (RFC 6455 §4.1). */
const KEY = /^[A-Za-z0-9+/]{22}==$/;

/**
 * Checks a WebSocket handshake (RFC 6455 §4.2.1). Returns the response that says what is wrong, or `undefined`. Header
 * values are case-insensitive.
 */
export function handshakeFault(c: Context): Response | undefined {
  // Hono passes HEAD to the handler of GET.
  if (c.req.raw.method !== "GET") {
    // It asks whether a gateway is there. A browser reports any other status as an error of the page.
    if (c.req.header("upgrade") === undefined) return c.body(null, 204);
    return problem(c, 405, "A WebSocket handshake needs GET", { Allow: "GET" });
  }
  // RFC 9112 §3.2 requires it, and Bun's own server can't upgrade without it.
  if (c.req.header("host") === undefined) return problem(c, 400, "A handshake needs a Host header");
  const upgrade = c.req.header("upgrade")?.toLowerCase();
  const connection = c.req.header("connection")?.toLowerCase().split(",") ?? [];
  if (upgrade !== "websocket" || !connection.some((token) => token.trim() === "upgrade")) {
    return problem(c, 426, "This is a WebSocket endpoint: connect to it with a WebSocket client", {
      Upgrade: "websocket",
      Connection: "Upgrade",
    });
  }
  if (c.req.header("sec-websocket-version") !== "13") {
    return problem(c, 426, "Only version 13 of the WebSocket protocol is supported", {
      Upgrade: "websocket",
      "Sec-WebSocket-Version": "13",
    });
  }
  if (!KEY.test(c.req.header("sec-websocket-key") ?? "")) {
    return problem(c, 400, "Sec-WebSocket-Key must be 16 bytes in base64");
  }
  return undefined;
}
