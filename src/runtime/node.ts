import { createServer as createPlainServer, type IncomingMessage, type Server } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import { createAdaptorServer, type HttpBindings, upgradeWebSocket } from "@hono/node-server";
import type { Context } from "hono";
import type { WSContext, WSEvents } from "hono/ws";
import type { RawData, WebSocketServer as RawServer, WebSocket as RawWebSocket } from "ws";
import type { ClientSocket, Frame, SendResult } from "../core/ports/socket.ts";
import { cannotUpgrade } from "./errors.ts";
import { cannotListen } from "./listen-error.ts";
import { patchInflate } from "./patch-inflate.ts";
import { chooseOffer } from "./permessage-deflate.ts";
import {
  type ConnectionEvents,
  IDLE_CONNECTION_MS,
  type Listener,
  type ListenOptions,
  type Runtime,
  type RuntimeOptions,
  type ServerTls,
  type SocketRuntime,
} from "./runtime.ts";
import { type ServedConnections, serveInOrder } from "./serve-in-order.ts";
import { TopicMembers } from "./topic-members.ts";
import { FrameBuilder } from "./websocket-frame-bytes.ts";
import { WebSocket, WebSocketServer } from "./ws.ts";

/** Maximum size of all headers of a request. The answer to more is 431. */
const MAX_HEADER_BYTES = 16 * 1024;
/** Maximum number of fragments of a short message; a longer one may have one for each kibibyte. */
const MIN_FRAGMENT_LIMIT = 64;
/** How long a handshake of TLS may take, and the headers of a request. Then the server closes the connection with 408. */
const HANDSHAKE_TIMEOUT_MS = 10_000;
/**
 * How many connections may wait to be accepted, if the kernel allows it (`somaxconn`). A client that finds no room
 * retries after one second, then after three.
 */
const BACKLOG = 4096;
/** Connections that wait for their next request end if fewer than these can be opened, or than an eighth of all. */
const FREE_CONNECTIONS = 64;

/** The `websocket` option of `serve` from `@hono/node-server`. */
export type NodeWebSocketOption = NonNullable<
  Parameters<typeof createAdaptorServer>[0]["websocket"]
>;

/** Node: builds the frames of a flush once, and writes the same buffer to each socket. */
export function createNodeRuntime(limits: RuntimeOptions): Runtime<NodeWebSocketOption> {
  if (limits.compression) patchInflate();
  const topics = new TopicMembers<NodeSocket>();
  const builder = new FrameBuilder(limits.compressionThresholdBytes);

  const sockets: SocketRuntime = {
    async upgrade(c, events, protocol) {
      // @hono/node-server adds its socket server to requests that can be upgraded.
      const env = c.env as (Partial<HttpBindings> & { wss?: unknown }) | undefined;
      const incoming = env?.wss === undefined ? undefined : env.incoming;
      if (incoming === undefined) throw cannotUpgrade("Node", "`websocket: gateway.websocket`");
      if (protocol !== undefined) subprotocols.set(incoming, protocol);
      const listeners = new OpenListener({ incoming, events, topics, builder });
      return await upgradeLightly(c.req.url, env as object, listeners);
    },
    addressOf(c) {
      const env = c.env as Partial<HttpBindings> | undefined;
      return env?.incoming?.socket.remoteAddress ?? "unknown";
    },
    // Without this, Bun keeps the connection of a peer that doesn't read.
    drop(c) {
      const env = c.env as Partial<HttpBindings> | undefined;
      env?.incoming?.socket.destroy();
    },
    pings: true,
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
    // Each HTTP server needs a new socket server, because @hono/node-server closes both together.
    get websocket() {
      return { server: createSocketServer(limits) as never };
    },
    listen: (options) => listen(options, limits),
    dialWebSocket: (url, tls) => new WebSocket(url, tls) as unknown as globalThis.WebSocket,
  };
}

/**
 * Upgrades a request by @hono/node-server, which makes an accessor for each connection: in it, V8 keeps the arguments of
 * `upgradeWebSocket` until a full collection of garbage. So these lead to nothing else of the request.
 */
function upgradeLightly(url: string, env: object, listener: OpenListener): Promise<Response> {
  const light = { ...env };
  const context = { req: { url, header: () => "websocket" }, env: light };
  const upgrading = upgradeWebSocket(context as unknown as Context, listener);
  // It has noted there whose handshake it is.
  Object.assign(env, light);
  for (const key of Reflect.ownKeys(light)) Reflect.deleteProperty(light, key);
  return upgrading;
}

interface Opening {
  readonly incoming: IncomingMessage;
  readonly events: ConnectionEvents;
  readonly topics: TopicMembers<NodeSocket>;
  readonly builder: FrameBuilder;
}

/** Opens a connection, and holds nothing after that. */
class OpenListener implements WSEvents {
  #opening: Opening | undefined;

  constructor(opening: Opening) {
    this.#opening = opening;
  }

  onOpen(_event: Event, { raw }: WSContext): void {
    if (this.#opening === undefined) return;
    const { incoming, events, topics, builder } = this.#opening;
    this.#opening = undefined;
    subprotocols.delete(incoming);
    adopted.get(incoming)?.();
    adopted.delete(incoming);
    releaseRequest(incoming.socket);
    const ws = raw as RawWebSocket;
    events.open(new NodeSocket(ws, incoming.socket, topics, builder));
    const others = OBSERVED_EVENTS.flatMap((event) => ws.listeners(event));
    queueMicrotask(() => replaceListeners(ws, events, others));
  }
}

/**
 * Takes the request of a handshake off its socket: Bun would keep it, with its headers, as long as the connection lives.
 * Bun needs it no more once the socket was handed over. Other runtimes keep none.
 */
function releaseRequest(socket: Socket): void {
  if (!("Bun" in globalThis)) return;
  const held = Object.getOwnPropertySymbols(socket).find((key) => key.description === "request");
  if (held !== undefined) Reflect.set(socket, held, undefined);
}

const OBSERVED_EVENTS = ["message", "close", "error"];

/**
 * Replaces the listeners that @hono/node-server adds after `onOpen` by our own. Its listeners keep the whole request in
 * memory as long as the connection lives, which is more than the rest of the connection takes.
 *
 * @param others the earlier listeners, for example those of a host's socket server that counts its clients.
 */
function replaceListeners(
  ws: RawWebSocket,
  events: ConnectionEvents,
  others: ReturnType<RawWebSocket["listeners"]>,
): void {
  for (const event of OBSERVED_EVENTS) {
    for (const listener of ws.listeners(event)) {
      if (!others.includes(listener)) ws.off(event, listener as () => void);
    }
  }
  (ws as ObservedWebSocket)[EVENTS] = events;
  ws.on("message", onMessage);
  ws.on("ping", onAlive);
  ws.on("pong", onPong);
  ws.on("close", onClose);
  ws.on("error", onError);
}

const EVENTS = Symbol("what happens on the connection");
type ObservedWebSocket = RawWebSocket & { [EVENTS]: ConnectionEvents };

// All sockets share these listeners: ws calls a listener with the socket as `this`.

function onMessage(this: RawWebSocket, data: RawData, isBinary: boolean): void {
  const bytes = data as Buffer;
  (this as ObservedWebSocket)[EVENTS].message(isBinary ? bytes : bytes.toString());
}

function onAlive(this: RawWebSocket): void {
  (this as ObservedWebSocket)[EVENTS].alive();
}

function onPong(this: RawWebSocket, content: Buffer): void {
  (this as ObservedWebSocket)[EVENTS].pong(content);
}

function onClose(this: RawWebSocket, code: number): void {
  (this as ObservedWebSocket)[EVENTS].closed(code);
}

function onError(this: RawWebSocket, error: NodeJS.ErrnoException): void {
  // ws itself sent 1009. A close event follows every other error.
  if (error.code !== "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH") return;
  (this as ObservedWebSocket)[EVENTS].closed(1009, "frame_too_big");
}

const EXTENSIONS = "sec-websocket-extensions";

/** Chooses the offer of permessage-deflate: ws refuses a handshake for an unknown offer, and accepts windows that we don't keep. */
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
    // Without context takeover, all sockets can share one compressed frame (RFC 7692 §7.1.1).
    perMessageDeflate: limits.compression && {
      serverNoContextTakeover: true,
      clientNoContextTakeover: true,
    },
    maxPayload: limits.maxFrameBytes,
    // A fragment costs as much as a message.
    maxFragments: Math.max(MIN_FRAGMENT_LIMIT, Math.ceil(limits.maxFrameBytes / 1024)),
    // Without this option, ws accepts the first subprotocol that the client offers.
    handleProtocols: (_offered, request) => subprotocols.get(request) ?? false,
  });
}

/** The subprotocol that the gateway chose, by handshake. */
const subprotocols = new WeakMap<IncomingMessage, string>();

/** A socket of ws, and the TCP or TLS socket below it, which our frames are written to. */
class NodeSocket implements ClientSocket {
  readonly remoteAddress: string;
  readonly compresses: boolean;
  readonly #ws: RawWebSocket;
  readonly #socket: Socket;
  readonly #topics: TopicMembers<NodeSocket>;
  readonly #builder: FrameBuilder;

  constructor(
    ws: RawWebSocket,
    socket: Socket,
    topics: TopicMembers<NodeSocket>,
    builder: FrameBuilder,
  ) {
    this.#ws = ws;
    this.#socket = socket;
    this.#topics = topics;
    this.#builder = builder;
    this.compresses = ws.extensions.includes("permessage-deflate");
    this.remoteAddress = socket.remoteAddress ?? "unknown";
  }

  write(frames: readonly Frame[]): SendResult {
    return this.writeFrames(this.#builder.build(frames, this.compresses));
  }

  /**
   * Writes frames that are already built. They never split a frame of ws: ws writes its pings, pongs and close frames
   * at once and whole, because control frames are never compressed (RFC 7692 §5.1).
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

  ping(content: string): void {
    if (this.#ws.readyState === WebSocket.OPEN) this.#ws.ping(content);
  }

  close(code: number, reason: string): void {
    this.#ws.close(code, reason);
  }

  terminate(): void {
    this.#ws.terminate();
  }
}

/** How long a failed restart waits before the next attempt. */
const RETRY_MS = 200;

async function listen(options: ListenOptions, limits: RuntimeOptions): Promise<Listener> {
  const server = createServer(options, limits);
  const { address, port } = await open(server, options).catch(async (cause) => {
    throw await cannotListen(options.host, options.port, cause);
  });
  return new NodeListener(server, { ...options, host: address, port }, limits);
}

/** One server that listens, and on Deno also the servers that it replaced and that still have connections. */
class NodeListener implements Listener {
  readonly address: string;
  readonly port: number;
  #options: ListenOptions;
  #limits: RuntimeOptions;
  #servers: Server[];
  /** Whether all allowed connections were open at some time since the last call of `hasRoom`. */
  #wasFull = false;
  #isStopped = false;
  /** The servers that begin to listen, until they do or can't. */
  readonly #opening = new Map<Server, Promise<void>>();

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
    server.on("drop", () => this.#look(server));
  }

  #look(server: Server): void {
    server.getConnections((_, count) => {
      const { maxConnections: most } = server;
      const wanted = Math.min(FREE_CONNECTIONS, Math.ceil(most / 8));
      const free = most - (count ?? 0);
      const ended = free < wanted ? (served.get(server)?.idle.end(wanted - free) ?? 0) : 0;
      if (free + ended <= 0) this.#wasFull = true;
    });
  }

  /** Deno's `node:http` accepts nothing more, without an error, after a connection for which no file descriptor was free. */
  keepAccepting(): void {
    if ("Deno" in globalThis && !this.#isStopped) listenAgain(this.#servers.at(-1)!);
  }

  setTls(tls: ServerTls): void {
    if (this.#isStopped) return;
    this.#options = { ...this.#options, tls };
    const server = this.#servers.at(-1) as Server & Pick<Renewable, "setSecureContext">;
    // Bun's servers can't renew their certificates.
    if (server.setSecureContext === undefined) this.#replace();
    else server.setSecureContext(tlsOptions(tls));
  }

  setMaxConnections(count: number): void {
    this.#limits = { ...this.#limits, maxConnections: count };
    for (const server of this.#servers) server.maxConnections = count;
  }

  #replace(): void {
    if (this.#isStopped) return;
    this.#closeGently(this.#servers.at(-1)!);
    const server = createServer(this.#options, this.#limits);
    this.#servers.push(server);
    this.#watch(server);
    this.#open(server);
  }

  /** Listens as soon as the port is free, unless the server is replaced or stopped before. */
  #open(server: Server): void {
    const isWanted = (): boolean => !this.#isStopped && this.#servers.at(-1) === server;
    if (!isWanted()) return;
    const opening = open(server, this.#options)
      .then(
        () => (isWanted() ? undefined : stop(server)),
        () => void setTimeout(() => this.#open(server), RETRY_MS),
      )
      .finally(() => this.#opening.delete(server));
    this.#opening.set(server, opening);
  }

  close(): void {
    this.#isStopped = true;
    for (const server of this.#servers) this.#closeGently(server);
  }

  /** Open connections continue. A server that only begins to listen is closed as soon as it does. */
  #closeGently(server: Server): void {
    const forget = (): void => {
      this.#servers = this.#servers.filter((one) => one !== server);
    };
    if (this.#opening.has(server)) forget();
    else server.close(forget);
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#opening.values());
    await Promise.all(this.#servers.splice(0).map(stop));
  }
}

/** A server of Deno's `node:net`. */
interface DenoServer {
  /** Present while it listens. */
  readonly _handle?: { listen(backlog: number): number } | null;
}

/** Listens again on the same socket, on which connections may wait. Without effect on a server that accepts. */
function listenAgain(server: Server & DenoServer): void {
  const { _handle: handle } = server;
  // Written in JavaScript, it might open another socket: this was only tried with Deno's own code, in 2.9.
  if (handle && /\[native code\]/.test(`${handle.listen}`)) handle.listen(BACKLOG);
}

/** A server with TLS, where the runtime can renew its certificate. */
interface Renewable {
  setSecureContext?(options: ServerOptions): void;
}

function tlsOptions({ cert, key, clientCa, minVersion }: ServerTls): ServerOptions {
  const asksClients = clientCa.length > 0;
  return {
    ...{ cert, key, handshakeTimeout: HANDSHAKE_TIMEOUT_MS },
    minVersion: `TLSv${minVersion}`,
    ...(asksClients && { ca: [...clientCa], requestCert: true, rejectUnauthorized: true }),
  };
}

/** Drops clients whose certificate has none of the names, before their first request is read. */
function checkNames(server: Server, { tls, certificateRefused }: ListenOptions): void {
  const allowed = tls?.clientNames ?? [];
  if (allowed.length === 0) return;
  server.prependListener("secureConnection", (socket: TLSSocket) => {
    const names = namesOf(socket);
    if (names.some((name) => allowed.includes(name))) return;
    const reason = "its certificate has none of tls_client_names";
    certificateRefused?.({ address: socket.remoteAddress ?? "unknown", reason, names });
    socket.destroy();
  });
}

/** A failed handshake's socket, with the connection below it. */
type FailedSocket = TLSSocket & { readonly _parent?: Socket };

/** Tells of clients without a certificate that one of the authorities has signed. Other failures of TLS are no news. */
function tellRefused(server: Server, { certificateRefused }: ListenOptions): void {
  if (certificateRefused === undefined) return;
  // Node keeps an address that was read once, and a refused client's connection has none any more.
  server.on("connection", (socket: Socket) => void socket.remoteAddress);
  server.on("tlsClientError", ({ code }: NodeJS.ErrnoException, socket: FailedSocket) => {
    const reason = refusalOf(code, socket);
    const address = socket._parent?.remoteAddress ?? socket.remoteAddress ?? "unknown";
    if (reason !== undefined) certificateRefused({ address, reason });
  });
}

/** Returns what is wrong with a client's certificate; `undefined` if the handshake failed for another reason. */
function refusalOf(
  code: string | undefined,
  { authorizationError }: TLSSocket,
): string | undefined {
  if (code === "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE") return "it has shown no certificate";
  if (!authorizationError) return undefined;
  return `its certificate isn't accepted: ${authorizationError}`;
}

/** The common name of a client's certificate, and its alternative names of the kind DNS (RFC 5280 §4.2.1.6). */
function namesOf(socket: TLSSocket): string[] {
  const certificate = socket.getPeerCertificate() as
    | { subject?: { CN?: string | string[] }; subjectaltname?: string }
    | undefined;
  const alternatives = certificate?.subjectaltname?.split(", ") ?? [];
  const dns = alternatives.flatMap((name) => /^DNS:([^\s"]+)$/.exec(name)?.[1] ?? []);
  return [...[certificate?.subject?.CN ?? []].flat(), ...dns];
}

/** The connections of each server. */
const served = new WeakMap<Server, ServedConnections>();

function createServer(options: ListenOptions, limits: RuntimeOptions): Server {
  const { fetch, tls } = options;
  const server = createAdaptorServer({
    createServer: tls === undefined ? createPlainServer : (createTlsServer as never),
    // The host of requests without one. The URL would be invalid with an IPv6 address.
    hostname: "localhost",
    fetch: (request, env) => fetch(request, env as never),
    websocket: { server: createSocketServer(limits) as never },
    serverOptions: {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: Math.min(HANDSHAKE_TIMEOUT_MS, limits.requestTimeoutMs),
      // The app answers earlier, and says more.
      requestTimeout: limits.requestTimeoutMs + 1000,
      keepAliveTimeout: IDLE_CONNECTION_MS,
      connectionsCheckingInterval: 1000,
      ...ONLY_WEBSOCKET,
      ...(tls !== undefined && tlsOptions(tls)),
    } as never,
  }) as Server;
  checkNames(server, options);
  if (tls?.clientCa.length) tellRefused(server, options);
  server.maxConnections = limits.maxConnections;
  const connections = serveInOrder(server);
  served.set(server, connections);
  closeLeftovers(server, connections);
  return server;
}

function open(
  server: Server,
  { host, port, sharesPort }: Pick<ListenOptions, "host" | "port" | "sharesPort">,
): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    // Bun ignores `reusePort`: see src/workers/spawn-worker.ts.
    server.listen({ host, port, backlog: BACKLOG, reusePort: sharesPort === true }, () => {
      server.off("error", reject);
      // The server continues if it can't accept a connection.
      server.on("error", () => {});
      resolve(server.address() as AddressInfo);
    });
  });
}

/**
 * Ignores upgrades to anything but a WebSocket, such as `Upgrade: h2c`, and answers the request normally (RFC 9110
 * §7.8). Node has this option since 24.9 and 22.21; older versions ignore it, and some types lack it.
 */
const ONLY_WEBSOCKET = { shouldUpgradeCallback: isWebSocketUpgrade };

function isWebSocketUpgrade(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === "websocket";
}

/**
 * Closes the connections that @hono/node-server leaves open:
 *
 * - A refused handshake: the peer could keep its half of the connection open, and a stop would wait for it.
 * - An upgrade to anything but a WebSocket: it would never get an answer (on a Node without the option above).
 * - An upgrade behind an unanswered request: its frames would mix with the answer.
 */
function closeLeftovers(server: Server, connections: ServedConnections): void {
  const [upgrade] = server.listeners("upgrade");
  server.removeAllListeners("upgrade");
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer<ArrayBuffer>) => {
    // ws closes the sockets that it took over.
    if (connections.isBusy(socket)) {
      socket.destroy();
      return;
    }
    connections.leave(socket);
    const whenFinished = (): void => void socket.destroy();
    socket.once("finish", whenFinished);
    adopted.set(request, () => socket.off("finish", whenFinished));
    if (isWebSocketUpgrade(request)) {
      joinAuthorization(request);
      upgrade?.call(server, request, socket, head);
      return;
    }
    socket.on("error", () => {});
    socket.end(OTHER_UPGRADE);
  });
}

/**
 * Joins several `Authorization` headers of a handshake, as those of other requests are, so that they are refused: of a
 * handshake's, @hono/node-server passes on the first, and what is in front of us may have checked the last.
 */
function joinAuthorization({ headers, rawHeaders }: IncomingMessage): void {
  const values = rawHeaders.filter(
    (_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === "authorization",
  );
  if (values.length > 1) headers.authorization = values.join(", ");
}

const OTHER_UPGRADE =
  "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/** The function to call when a request's socket became a WebSocket, by request. */
const adopted = new WeakMap<IncomingMessage, () => void>();

function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    // A replaced server is closed already, and ends with its connections.
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
