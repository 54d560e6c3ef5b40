import type { Context } from "hono";
import { SpillwayError } from "../core/ports/errors.ts";
import type { ConnectionEvents, Runtime, SocketRuntime } from "./runtime.ts";
import { StandardSockets } from "./standard-sockets.ts";

/** The server's half of a `WebSocketPair`. */
interface ServerHalf extends WebSocket {
  accept(): void;
}

/** The part of the global scope of Workers that is used here. */
interface WorkersScope {
  readonly WebSocketPair: new () => { readonly 0: WebSocket; readonly 1: ServerHalf };
}

/**
 * Cloudflare Workers, in a Durable Object: one send per client and frame.
 *
 * Limits of Workers:
 *
 * - There are no pings of ours: pongs say neither that a client lives nor what it has taken.
 * - A connection can't be dropped. If a peer stops reading, its buffer stays until the peer is gone.
 * - A Worker decides about compression by its compatibility date; the gateway doesn't see it.
 */
export function createCloudflareRuntime(): Runtime<undefined> {
  const standard = new StandardSockets({
    close: closeQuietly,
    terminate: (socket) => closeQuietly(socket, 1001, ""),
  });
  const sockets: SocketRuntime = {
    async upgrade(c, events, protocol) {
      const { WebSocketPair } = globalThis as unknown as WorkersScope;
      const { 0: client, 1: server } = new WebSocketPair();
      server.accept();
      server.binaryType = "arraybuffer";
      listen(server, events);
      events.open(standard.clientOf(server, addressOf(c)));
      const init: ResponseInit & { readonly webSocket: WebSocket } = {
        status: 101,
        webSocket: client,
        ...(protocol !== undefined && { headers: { "Sec-WebSocket-Protocol": protocol } }),
      };
      return new Response(null, init);
    },
    addressOf,
    write: (topic, frames) => standard.write(topic, frames),
  };
  return {
    name: "cloudflare",
    sockets,
    websocket: undefined,
    async listen() {
      throw new SpillwayError("LISTEN_FAILED", "Cannot listen on a port of Cloudflare Workers");
    },
    dialWebSocket: (url) => new WebSocket(url),
  };
}

/** Cloudflare sets the header, whatever the client sent. */
function addressOf(c: Context): string {
  return c.req.header("cf-connecting-ip") ?? "unknown";
}

function listen(server: ServerHalf, events: ConnectionEvents): void {
  server.addEventListener("message", ({ data }: MessageEvent<string | ArrayBuffer>) =>
    events.message(typeof data === "string" ? data : new Uint8Array(data)),
  );
  server.addEventListener("close", ({ code, reason }) => {
    // With a compatibility date before 2026-04-07, nothing else answers a client's close.
    closeQuietly(server, code, reason);
    events.closed(code);
  });
  server.addEventListener("error", () => events.closed(1006));
}

/** Workers throw for a socket that is closed, and for codes that may not be sent (RFC 6455 §7.4.1). */
function closeQuietly(socket: WebSocket, code: number, reason: string): void {
  try {
    if (code === 1005 || code === 1006) socket.close();
    else socket.close(code, reason);
  } catch {
    // It is closed.
  }
}
