import type { IncomingMessage, Server } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createAdaptorServer, type HttpBindings, upgradeWebSocket } from "@hono/node-server";
import type { RawData, WebSocketServer as RawServer, WebSocket as RawWebSocket } from "ws";
import type { ClientSocket, SendResult } from "../core/ports/socket.ts";
import type { TextFrame } from "../core/ports/text-frame.ts";
import { cannotUpgrade } from "./errors.ts";
import { FrameBuilder } from "./frame.ts";
import { cannotListen } from "./listen-error.ts";
import { patchInflate } from "./patch-inflate.ts";
import { chooseOffer } from "./permessage-deflate.ts";
import type {
  ConnectionEvents,
  Listener,
  ListenOptions,
  Runtime,
  RuntimeOptions,
  SocketRuntime,
} from "./runtime.ts";
import { serveInOrder } from "./serve-in-order.ts";
import { Topics } from "./topics.ts";
import { WebSocket, WebSocketServer } from "./ws.ts";

/** All headers of a request together may have so many bytes; more is answered with 431. */
const MAX_HEADER_BYTES = 16 * 1024;
/** The most fragments of a message; a longer one may have one for each kibibyte. */
const FEW_FRAGMENTS = 64;
/** How long the headers of a request may take; then the connection is closed with 408. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
/**
 * So many connections may wait to be accepted, as far as the kernel allows it (`somaxconn`): those of
 * a crowd that finds no room here try again after one second, then three.
 */
const BACKLOG = 4096;

/** The `websocket` option of `serve` from `@hono/node-server`. */
export type NodeWebSocketOption = NonNullable<
  Parameters<typeof createAdaptorServer>[0]["websocket"]
>;

/** Node: the frames of a flush are built once, and the same buffer is written to each socket. */
export function createNodeRuntime(limits: RuntimeOptions): Runtime<NodeWebSocketOption> {
  if (limits.compression) patchInflate();
  const topics = new Topics<NodeSocket>();
  const builder = new FrameBuilder(limits.compressionThresholdBytes);

  const sockets: SocketRuntime = {
    async upgrade(c, events, protocol) {
      // @hono/node-server hands its socket server on with requests that may be upgraded.
      const env = c.env as (Partial<HttpBindings> & { wss?: unknown }) | undefined;
      const incoming = env?.wss === undefined ? undefined : env.incoming;
      if (incoming === undefined) throw cannotUpgrade("Node", "`websocket: gateway.websocket`");
      const { socket } = incoming;
      if (protocol !== undefined) subprotocols.set(incoming, protocol);
      return await upgradeWebSocket(c, {
        onOpen(_event, { raw }) {
          adopted.get(incoming)?.();
          const ws = raw as unknown as RawWebSocket;
          events.open(new NodeSocket(ws, socket, topics, builder));
          const others = HEARD.flatMap((event) => ws.listeners(event));
          queueMicrotask(() => listenAlone(ws, events, others));
        },
      });
    },
    addressOf(c) {
      const env = c.env as Partial<HttpBindings> | undefined;
      return env?.incoming?.socket.remoteAddress ?? "unknown";
    },
    // Bun keeps a connection whose peer does not read, and later ends the answer properly.
    drop(c) {
      const env = c.env as Partial<HttpBindings> | undefined;
      env?.incoming?.socket.destroy();
    },
    write(topic, frames, compress) {
      const bytes = builder.build(frames, compress);
      let refused = 0;
      for (const socket of topics.members(topic)) {
        if (socket.writeFrames(bytes) === "refused") refused++;
      }
      return { grownBytes: bytes.length, refused };
    },
  };

  return {
    name: "node",
    sockets,
    // @hono/node-server closes the socket server with its HTTP server: each server has a new one.
    get websocket() {
      return { server: createSocketServer(limits) as never };
    },
    listen: (options) => listen(options, limits),
    dialWebSocket: (url, tls) => new WebSocket(url, tls) as unknown as globalThis.WebSocket,
  };
}

const HEARD = ["message", "close", "error"];

/**
 * Puts our listeners in the place of those that @hono/node-server adds behind `onOpen`: those hold on
 * to the whole request for as long as the connection lives, which is more than all the rest of it.
 *
 * @param others those that were there before, as of a host's socket server that counts its clients.
 */
function listenAlone(
  ws: RawWebSocket,
  events: ConnectionEvents,
  others: ReturnType<RawWebSocket["listeners"]>,
): void {
  for (const event of HEARD) {
    for (const listener of ws.listeners(event)) {
      if (!others.includes(listener)) ws.off(event, listener as () => void);
    }
  }
  (ws as HeardWebSocket)[EVENTS] = events;
  ws.on("message", onMessage);
  ws.on("ping", onAlive);
  ws.on("pong", onAlive);
  ws.on("close", onClose);
  ws.on("error", onError);
}

const EVENTS = Symbol("what happens on the connection");
type HeardWebSocket = RawWebSocket & { [EVENTS]: ConnectionEvents };

// One of each serves all sockets: ws calls a listener on the socket.

function onMessage(this: RawWebSocket, data: RawData, isBinary: boolean): void {
  const bytes = data as Buffer;
  (this as HeardWebSocket)[EVENTS].message(isBinary ? bytes : bytes.toString());
}

function onAlive(this: RawWebSocket): void {
  (this as HeardWebSocket)[EVENTS].alive();
}

function onClose(this: RawWebSocket, code: number): void {
  (this as HeardWebSocket)[EVENTS].closed(code);
}

function onError(this: RawWebSocket, error: NodeJS.ErrnoException): void {
  // ws has sent 1009 itself. A close follows every other error.
  if (error.code !== "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH") return;
  (this as HeardWebSocket)[EVENTS].closed(1009, "frame_too_big");
}

const EXTENSIONS = "sec-websocket-extensions";

/** ws refuses a handshake for an offer that it doesn't know, and agrees to windows that we don't keep. */
class NegotiatingServer extends WebSocketServer {
  override handleUpgrade(...args: Parameters<RawServer["handleUpgrade"]>): void {
    const { headers } = args[0];
    const offers = headers[EXTENSIONS];
    const chosen = offers === undefined ? undefined : chooseOffer(offers);
    if (chosen === undefined) delete headers[EXTENSIONS];
    else headers[EXTENSIONS] = chosen;
    super.handleUpgrade(...args);
  }
}

function createSocketServer(limits: RuntimeOptions): RawServer {
  return new NegotiatingServer({
    noServer: true,
    clientTracking: false,
    // Without context takeover, one compressed frame fits every socket (RFC 7692 §7.1.1).
    perMessageDeflate: limits.compression && {
      serverNoContextTakeover: true,
      clientNoContextTakeover: true,
    },
    maxPayload: limits.maxFrameBytes,
    // A message of many small fragments costs as much as so many messages.
    maxFragments: Math.max(FEW_FRAGMENTS, Math.ceil(limits.maxFrameBytes / 1024)),
    // Left to itself, ws accepts the first subprotocol that the client offers.
    handleProtocols: (_offered, request) => subprotocols.get(request) ?? false,
  });
}

/** By handshake, the subprotocol that the gateway chose. */
const subprotocols = new WeakMap<IncomingMessage, string>();

/** A socket of ws, and the TCP or TLS socket below it, to which frames of ours are written. */
class NodeSocket implements ClientSocket {
  readonly remoteAddress: string;
  readonly compresses: boolean;
  readonly #ws: RawWebSocket;
  readonly #socket: Socket;
  readonly #topics: Topics<NodeSocket>;
  readonly #builder: FrameBuilder;

  constructor(ws: RawWebSocket, socket: Socket, topics: Topics<NodeSocket>, builder: FrameBuilder) {
    this.#ws = ws;
    this.#socket = socket;
    this.#topics = topics;
    this.#builder = builder;
    this.compresses = ws.extensions.includes("permessage-deflate");
    this.remoteAddress = socket.remoteAddress ?? "unknown";
  }

  write(frames: readonly TextFrame[]): SendResult {
    return this.writeFrames(this.#builder.build(frames, this.compresses));
  }

  /**
   * Writes frames that are already built. ws writes its own (pings, pongs, the close) whole and at
   * once, as control frames are never compressed (RFC 7692 §5.1), so that ours never fall into the middle of one.
   */
  writeFrames(bytes: Buffer): SendResult {
    if (this.#ws.readyState !== WebSocket.OPEN) return "refused";
    return this.#socket.write(bytes) ? "sent" : "buffered";
  }

  bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  join(topic: string): void {
    this.#topics.join(topic, this);
  }

  leave(topic: string): void {
    this.#topics.leave(topic, this);
  }

  ignore(): void {
    this.#ws.pause();
  }

  ping(): void {
    if (this.#ws.readyState === WebSocket.OPEN) this.#ws.ping();
  }

  close(code: number, reason: string): void {
    this.#ws.close(code, reason);
  }

  terminate(): void {
    this.#ws.terminate();
  }
}

/** How long a listener that was started again waits before it tries once more. */
const RETRY_MS = 200;

async function listen(options: ListenOptions, limits: RuntimeOptions): Promise<Listener> {
  const server = createServer(options, limits);
  const { address, port } = await open(server, options.host, options.port).catch(async (cause) => {
    throw await cannotListen(options.host, options.port, cause);
  });
  return new NodeListener(server, { ...options, host: address, port }, limits);
}

/** Servers that listen on one address: one, and on Deno those that were replaced and still have connections. */
class NodeListener implements Listener {
  readonly address: string;
  readonly port: number;
  readonly #options: ListenOptions;
  readonly #limits: RuntimeOptions;
  #servers: Server[];
  /** Whether all connections were open at some time since the last look. */
  #wasFull = false;
  #isStopped = false;

  constructor(server: Server, options: ListenOptions, limits: RuntimeOptions) {
    this.address = options.host;
    this.port = options.port;
    this.#options = options;
    this.#limits = limits;
    this.#servers = [server];
    this.#watch(server);
  }

  hasRoom(): boolean {
    const wasFull = this.#wasFull;
    this.#wasFull = false;
    for (const server of this.#servers) this.#look(server);
    return !wasFull;
  }

  #watch(server: Server): void {
    server.on("connection", () => this.#look(server));
  }

  #look(server: Server): void {
    server.getConnections((_, count) => {
      if ((count ?? 0) >= server.maxConnections) this.#wasFull = true;
    });
  }

  /** Deno's `node:http` never accepts again after it has run out of descriptors, and says nothing. */
  restart(): void {
    if (!("Deno" in globalThis) || this.#isStopped) return;
    // Open connections stay, and are served.
    const before = this.#servers.at(-1)!;
    before.close(() => {
      this.#servers = this.#servers.filter((server) => server !== before);
    });
    const server = createServer(this.#options, this.#limits);
    this.#servers.push(server);
    this.#watch(server);
    const again = (): void => {
      if (this.#isStopped) return;
      void open(server, this.address, this.port).catch(() => setTimeout(again, RETRY_MS));
    };
    again();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#servers.splice(0).map(stop));
  }
}

function createServer({ fetch }: ListenOptions, limits: RuntimeOptions): Server {
  const server = createAdaptorServer({
    // The host of requests that name none; with an IPv6 address their URL would be invalid.
    hostname: "localhost",
    fetch: (request, env) => fetch(request, env as never),
    websocket: { server: createSocketServer(limits) as never },
    serverOptions: {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: Math.min(HANDSHAKE_TIMEOUT_MS, limits.requestTimeoutMs),
      // The app answers before this, in more words.
      requestTimeout: limits.requestTimeoutMs + 1000,
      connectionsCheckingInterval: 1000,
      ...ONLY_WEBSOCKET,
    },
  }) as Server;
  server.maxConnections = limits.maxConnections;
  tidyUpgrades(server, serveInOrder(server));
  return server;
}

function open(server: Server, host: string, port: number): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, backlog: BACKLOG }, () => {
      server.off("error", reject);
      // A connection that could not be accepted is no reason to end.
      server.on("error", () => {});
      resolve(server.address() as AddressInfo);
    });
  });
}

/**
 * Leaves `Upgrade: h2c` and the like unheeded, as RFC 9110 §7.8 has it: the request is answered as
 * if it were not there. An option of Node 24.9 and 22.21, which older ones ignore, and the types
 * do not know everywhere.
 */
const ONLY_WEBSOCKET = { shouldUpgradeCallback: isWebSocketUpgrade };

function isWebSocketUpgrade(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === "websocket";
}

/**
 * Sees to what @hono/node-server leaves open: a refused handshake is ended, but its peer's half of
 * the connection stays for as long as the peer likes, and would keep a stop waiting; another
 * upgrade than to a WebSocket would wait for an answer for ever (on a Node without the option above).
 * An upgrade behind an unanswered request would mix its frames with that answer.
 */
function tidyUpgrades(server: Server, isBusy: (socket: Duplex) => boolean): void {
  const [upgrade] = server.listeners("upgrade");
  server.removeAllListeners("upgrade");
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer<ArrayBuffer>) => {
    // ws itself ends the sockets that it has taken over, and sees to them.
    if (isBusy(socket)) {
      socket.destroy();
      return;
    }
    const whenFinished = (): void => void socket.destroy();
    socket.once("finish", whenFinished);
    adopted.set(request, () => socket.off("finish", whenFinished));
    if (isWebSocketUpgrade(request)) {
      upgrade?.call(server, request, socket, head);
      return;
    }
    socket.on("error", () => {});
    socket.end(OTHER_UPGRADE);
  });
}

const OTHER_UPGRADE =
  "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/** By request, what is to be done when its socket has become a WebSocket. */
const adopted = new WeakMap<IncomingMessage, () => void>();

function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    // One that was replaced is closed already, and has nothing left once its connections are gone.
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
