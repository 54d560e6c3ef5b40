import type { Context } from "hono";
import { problem } from "./problem.ts";

/** 16 bytes in base64 (RFC 6455 §4.1). */
const KEY = /^[A-Za-z0-9+/]{22}==$/;

/**
 * What is wrong with a WebSocket handshake (RFC 6455 §4.2.1), as the response that says so;
 * `undefined` when nothing is. Header values are compared without regard to case, as they must be.
 */
export function handshakeFault(c: Context): Response | undefined {
  // Hono answers HEAD with what answers GET.
  if (c.req.raw.method !== "GET") {
    return problem(c, 405, "A WebSocket begins with GET", { Allow: "GET" });
  }
  // As RFC 9112 §3.2 has it; Bun's own server can't take over a connection without.
  if (c.req.header("host") === undefined) return problem(c, 400, "A handshake needs a Host");
  const upgrade = c.req.header("upgrade")?.toLowerCase();
  const connection = c.req.header("connection")?.toLowerCase().split(",") ?? [];
  if (upgrade !== "websocket" || !connection.some((token) => token.trim() === "upgrade")) {
    return problem(c, 426, "This is a WebSocket endpoint: connect to it with a WebSocket client", {
      Upgrade: "websocket",
      Connection: "Upgrade",
    });
  }
  if (c.req.header("sec-websocket-version") !== "13") {
    return problem(c, 426, "Only version 13 of the WebSocket protocol is spoken here", {
      Upgrade: "websocket",
      "Sec-WebSocket-Version": "13",
    });
  }
  if (!KEY.test(c.req.header("sec-websocket-key") ?? "")) {
    return problem(c, 400, "Sec-WebSocket-Key must be 16 bytes in base64");
  }
  return undefined;
}
