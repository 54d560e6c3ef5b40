import type { Server, ServerWebSocket, WebSocketHandler } from "bun";
import type { Context } from "hono";
import { createWSMessageEvent, defineWebSocketHelper, WSContext, type WSEvents } from "hono/ws";
import { PingFrame } from "../core/ports/ping-frame.ts";
import type { ClientSocket, Frame, SendResult } from "../core/ports/socket.ts";
import { cannotUpgrade } from "./errors.ts";
import { HonoListeners } from "./hono-listeners.ts";
import { cannotListen } from "./listen-error.ts";
import { chooseOffer } from "./permessage-deflate.ts";
import {
  type ConnectionEvents,
  IDLE_CONNECTION_MS,
  type Runtime,
  type RuntimeOptions,
  type SocketRuntime,
} from "./runtime.ts";
import { TextCache } from "./text-cache.ts";
import { TopicMembers } from "./topic-members.ts";
import { TurnLimiter } from "./turn-limiter.ts";
import { framedLength } from "./websocket-frame-bytes.ts";

/**
 * The data of a socket under `Bun.serve`'s one handler. `events`, `url` and `protocol` are those of Hono's own Bun
 * adapter, so that its sockets work under our handler and ours under its handler.
 */
export interface SocketData {
  readonly events: WSEvents<BunWebSocket> &
    Partial<Pick<BunListeners, "onAlive" | "onPong" | "onFrameTooBig">>;
  readonly url: URL;
  readonly protocol: string;
  /** Whether our own handler serves this socket, so that we get its pongs. */
  getsPongs?: boolean;
}

class UpgradeData implements SocketData {
  readonly events: WSEvents<BunWebSocket>;
  readonly protocol = "";
  getsPongs = false;
  readonly #url: string;

  constructor(events: WSEvents<BunWebSocket>, url: string) {
    this.events = events;
    this.#url = url;
  }

  /** Made on demand: only Hono's handler reads it, and a URL takes more memory than the rest of this object. */
  get url(): URL {
    return new URL(this.#url);
  }
}

type BunWebSocket = ServerWebSocket<SocketData>;

/** The `websocket` option of `Bun.serve`. */
export type BunWebSocketHandler = WebSocketHandler<SocketData>;

/**
 * If a socket has more unsent bytes than this, Bun drops frames silently. No socket gets there: a sweep finds a client
 * that passed `high_water_bytes` (64 MiB at most) at most that many bytes and one message later. A host's own handler
 * has its own limit, 16 MiB by default.
 */
const BACKPRESSURE_LIMIT = 256 * 1024 * 1024;

/** The longest `idleTimeout` of `Bun.serve`. */
const MOST_IDLE_SECONDS = 255;
/** Bun counts the time in steps of four seconds. */
const LATER_SECONDS = 5;

/** Bun: native publish to a topic per audience, which joins up to 32 frames in one write. */
export function createBunRuntime(limits: RuntimeOptions): Runtime<BunWebSocketHandler> {
  // Several gateways may share one server, which has one space of topics.
  const prefix = `spillway:${crypto.randomUUID()}:`;
  const shared: Shared = { prefix, texts: new TextCache(), members: new TopicMembers() };
  // A host may mount one gateway in several servers, for example with and without TLS.
  const servers = new Set<Server<SocketData>>();

  const upgradeWebSocket = defineWebSocketHelper<BunWebSocket>((c, events) => {
    const found = serverOf(c);
    if (typeof found?.upgrade !== "function") {
      throw cannotUpgrade("Bun", "the server as the second argument of fetch");
    }
    servers.add(found);
    if (limits.compression) negotiate(c.req.raw.headers);
    const upgraded = found.upgrade(c.req.raw, {
      data: new UpgradeData(events, c.req.url),
      // Without this header, Bun accepts the first subprotocol that the client offers.
      headers: { "Sec-WebSocket-Protocol": (events as BunListeners).protocol },
    });
    return upgraded ? new Response(null) : undefined;
  });

  const sockets: SocketRuntime = {
    async upgrade(c, events, protocol) {
      return await upgradeWebSocket(c, new BunListeners(events, shared, protocol ?? ""));
    },
    addressOf: (c) => serverOf(c)?.requestIP?.(c.req.raw)?.address ?? "unknown",
    keepOpen(c) {
      serverOf(c)?.timeout?.(c.req.raw, 0);
      // Otherwise the connection would stay after the stream, without a limit of time.
      c.header("Connection", "close");
    },
    pings: true,
    write(topic, frames) {
      const { compression, compressionThresholdBytes: threshold } = limits;
      for (const frame of frames) {
        const { text, byteLength } = frame;
        if (frame instanceof PingFrame) {
          // Bun publishes no pings. Each one stands behind what was published before.
          for (const ws of shared.members.members(topic)) ws.ping(text);
          continue;
        }
        // Bun compresses separately for each client that agreed to it.
        const compress = compression && byteLength >= threshold;
        for (const server of servers) server.publish(prefix + topic, text, compress);
      }
      // Bun removes the subscriptions of a closed socket at once. Compressed frames take fewer bytes than this.
      return { grownBytes: framedLength(frames), refused: 0 };
    },
  };

  const websocket = createHandler(limits);
  const { first, later } = idleSeconds(limits.requestTimeoutMs);
  return {
    name: "bun",
    sockets,
    websocket,
    async listen({ host, port, sharesPort = false, fetch }) {
      const turns = new TurnLimiter();
      let own: Server<SocketData>;
      try {
        own = Bun.serve({
          hostname: host,
          port,
          reusePort: sharesPort,
          fetch(request, env) {
            // For the rest of the connection.
            env.timeout(request, later);
            return turns.serve(() => fetch(withHost(request), env as never));
          },
          websocket,
          idleTimeout: first,
          // Bun's own refusal has no text, so the app refuses first, at `maxBodyBytes`.
          maxRequestBodySize: limits.maxBodyBytes * 2,
        });
      } catch (cause) {
        throw await cannotListen(host, port, cause);
      }
      return {
        port: own.port ?? port,
        // Bun's types lack it.
        address: (own as { address?: { address: string } }).address?.address ?? host,
        endIdle: () => void own.closeIdleConnections(),
        close: () => void own.stop(),
        async stop() {
          servers.delete(own);
          await own.stop(true);
        },
      };
    },
    dialWebSocket: (url, tls) => new WebSocket(url, { tls } as Bun.WebSocketOptions as never),
  };
}

/**
 * Returns how long a connection may be without a byte, in seconds, until its first request and from then on. Bun doesn't
 * limit the time of a whole request. The app limits that of a body: its answer 408 comes sooner than the end.
 */
export function idleSeconds(requestTimeoutMs: number): { first: number; later: number } {
  const seconds = Math.ceil(requestTimeoutMs / 1000);
  const later = Math.max(IDLE_CONNECTION_MS / 1000, seconds + LATER_SECONDS);
  return {
    first: Math.min(MOST_IDLE_SECONDS, seconds),
    later: Math.min(MOST_IDLE_SECONDS, later),
  };
}

const EXTENSIONS = "Sec-WebSocket-Extensions";

/** Replaces the offers of a client by the chosen one. Bun reads the header when it upgrades. */
function negotiate(headers: Headers): void {
  const offers = headers.get(EXTENSIONS);
  if (offers === null) return;
  const chosen = chooseOffer(offers);
  if (chosen === undefined) headers.delete(EXTENSIONS);
  else headers.set(EXTENSIONS, chosen);
}

/** Returns the server that a host's `fetch` passes on, alone or as `{ server }`. */
function serverOf(c: Context): Server<SocketData> | undefined {
  const env = c.env as Server<SocketData> | { server: Server<SocketData> } | undefined;
  return env !== undefined && "server" in env ? env.server : env;
}

/** Adds a host to the URL of a request without a `Host` header (HTTP/1.0): Bun's URL is a bare path then, which can't be routed. */
function withHost(request: Request): Request {
  return request.url.startsWith("/")
    ? new Request(`http://localhost${request.url}`, request)
    : request;
}

/** Creates the handler for `Bun.serve`. It also serves sockets that Hono's own Bun adapter upgraded. */
function createHandler({ maxFrameBytes, compression }: RuntimeOptions): BunWebSocketHandler {
  return {
    maxPayloadLength: maxFrameBytes,
    backpressureLimit: BACKPRESSURE_LIMIT,
    // The core pings, and decides when a client is dead.
    idleTimeout: 0,
    sendPings: false,
    perMessageDeflate: compression,
    open(ws) {
      ws.data.getsPongs = true;
      ws.data.events.onOpen?.(new Event("open"), contextOf(ws));
    },
    message(ws, message) {
      const data =
        typeof message === "string"
          ? message
          : message.buffer.slice(message.byteOffset, message.byteOffset + message.byteLength);
      ws.data.events.onMessage?.(createWSMessageEvent(data), contextOf(ws));
    },
    ping: (ws) => ws.data.events.onAlive?.(),
    pong: (ws, content) => ws.data.events.onPong?.(content),
    close(ws, code, reason) {
      // Bun itself sent 1009, and reports 1006 here.
      if (reason === "Received too big message") ws.data.events.onFrameTooBig?.();
      ws.data.events.onClose?.(new CloseEvent("close", { code, reason }), contextOf(ws));
    },
  };
}

function contextOf(ws: BunWebSocket): WSContext<BunWebSocket> {
  // Our own listeners read nothing else, and a context is expensive.
  if (ws.data instanceof UpgradeData) return { raw: ws } as never;
  return new WSContext({
    send: (data, { compress }) => void ws.send(data, compress),
    close: (code, reason) => ws.close(code, reason),
    raw: ws,
    readyState: ws.readyState,
    url: ws.data.url,
    protocol: ws.data.protocol,
  });
}

class BunListeners extends HonoListeners<BunWebSocket> {
  /** The chosen subprotocol; empty if there is none. */
  readonly protocol: string;
  readonly #shared: Shared;

  constructor(events: ConnectionEvents, shared: Shared, protocol: string) {
    super(events);
    this.#shared = shared;
    this.protocol = protocol;
  }

  onAlive(): void {
    this.events.alive();
  }

  onPong(content: Uint8Array): void {
    this.events.pong(content);
  }

  onFrameTooBig(): void {
    this.events.closed(1009, "frame_too_big");
  }

  protected adopt(raw: BunWebSocket): ClientSocket {
    const Socket = raw.data.getsPongs === true ? PingedBunSocket : BunSocket;
    return new Socket(raw, this.#shared);
  }
}

/** Shared by all sockets of one runtime. */
interface Shared {
  /** The prefix of its topics. */
  readonly prefix: string;
  readonly texts: TextCache;
  /** The members of each topic. */
  readonly members: TopicMembers<BunWebSocket>;
}

class BunSocket implements ClientSocket {
  readonly remoteAddress: string;
  /** Bun compresses by itself, so it gets uncompressed frames. */
  readonly compresses = false;
  protected readonly ws: BunWebSocket;
  readonly #shared: Shared;

  constructor(ws: BunWebSocket, shared: Shared) {
    this.ws = ws;
    this.#shared = shared;
    this.remoteAddress = ws.remoteAddress;
  }

  write(frames: readonly Frame[]): SendResult {
    const { ws } = this;
    if (ws.readyState !== WebSocket.OPEN) return "refused";
    const texts = this.#shared.texts.of(frames);
    ws.cork(() => {
      for (const [index, text] of texts.entries()) {
        if (frames[index] instanceof PingFrame) ws.ping(text);
        else ws.sendText(text);
      }
    });
    return ws.getBufferedAmount() === 0 ? "sent" : "buffered";
  }

  bufferedBytes(): number {
    return this.ws.getBufferedAmount();
  }

  join(topic: string): void {
    this.#shared.members.join(topic, this.ws);
    this.ws.subscribe(this.#shared.prefix + topic);
  }

  leave(topic: string): void {
    this.#shared.members.leave(topic, this.ws);
    if (this.ws.readyState === WebSocket.OPEN) this.ws.unsubscribe(this.#shared.prefix + topic);
  }

  close(code: number, reason: string): void {
    this.ws.close(code, reason);
  }

  terminate(): void {
    this.ws.terminate();
  }
}

/** A socket under our own handler. Under a host's handler we get no pongs, and Bun's `idleTimeout` ends dead connections. */
class PingedBunSocket extends BunSocket {
  ping(content: string): void {
    this.ws.ping(content);
  }
}
