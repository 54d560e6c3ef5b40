import type { Context } from "hono";
import { defineWebSocketHelper } from "hono/ws";
import type { ClientSocket } from "../core/ports/socket.ts";
import { HonoListeners } from "./hono-listeners.ts";
import { cannotListen } from "./listen-error.ts";
import type {
  ConnectionEvents,
  Listener,
  Runtime,
  RuntimeOptions,
  SocketRuntime,
} from "./runtime.ts";
import { StandardSockets } from "./standard-sockets.ts";

/** The part of Deno's namespace that is used here. */
interface DenoNamespace {
  upgradeWebSocket(
    request: Request,
    options: { idleTimeout: number },
  ): { socket: WebSocket; response: Response };
  serve(
    options: {
      hostname: string;
      port: number;
      reusePort: boolean;
      onListen: () => void;
      signal: AbortSignal;
    },
    handler: (request: Request, info: unknown) => Response | Promise<Response>,
  ): DenoServer;
  createHttpClient(options: {
    caCerts: string[];
    cert: string | undefined;
    key: string | undefined;
  }): unknown;
}

interface DenoServer {
  readonly addr: { readonly hostname: string; readonly port: number };
  /** Rejects if the server can't accept a connection, for example because too many files are open. */
  readonly finished: Promise<void>;
}

type Serve = (hostname: string, port: number, signal: AbortSignal) => DenoServer;

/** A handshake waits twice for this long, so that Deno notices a client's reset. */
const SETTLE_MS = 10;
/** How long a failed server waits before its next start. */
const RETRY_MS = 200;

/** Deno's message if a peer didn't answer Deno's own ping. */
const NO_PONG = "No response from ping frame.";

/**
 * Deno: one send per client and frame, because its native socket can't join frames.
 *
 * Limits of Deno:
 *
 * - It pings by itself after half of `read_timeout`, in whole seconds, and closes with 1001 after the other half.
 * - It can't drop a connection. If a peer stops reading, its socket and its buffer stay until the peer is gone.
 */
export function createDenoRuntime(limits: RuntimeOptions): Runtime<undefined> {
  const { Deno } = globalThis as unknown as { Deno: DenoNamespace };
  const idleTimeout = Math.max(2, Math.ceil(limits.readTimeoutMs / 1000));
  const standard = new StandardSockets({ close, terminate: endIdleTimer });
  let client: unknown;
  let clientFiles = "";

  const sockets: SocketRuntime = {
    async upgrade(c, events, protocol) {
      // If a client resets its handshake before the answer, Deno never closes the upgraded connection.
      // The signal reports a reset only after its first use.
      const { signal } = c.req.raw;
      // Twice, because a late event loop fires the first timer before it reads from its connections.
      for (let n = 0; n < 2; n++) await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      if (signal.aborted) return new Response(null, { status: 499 });
      const upgradeWebSocket = defineWebSocketHelper<WebSocket>((c, listeners) => {
        const { socket, response } = Deno.upgradeWebSocket(c.req.raw, { idleTimeout });
        // Deno's own option needs a list with ", ", and throws for a list with ",".
        if (protocol !== undefined) response.headers.set("Sec-WebSocket-Protocol", protocol);
        socket.binaryType = "arraybuffer";
        const context = { raw: socket } as never;
        socket.onopen = (event) => listeners.onOpen?.(event, context);
        socket.onmessage = (event) => listeners.onMessage?.(event, context);
        socket.onclose = (event) => listeners.onClose?.(event, context);
        socket.onerror = (event) => {
          endIdleTimer(socket);
          const silent = event instanceof ErrorEvent && event.message === NO_PONG;
          events.closed(1006, silent ? "no_pong" : undefined);
        };
        return response;
      });
      return await upgradeWebSocket(c, new DenoListeners(events, addressOf(c), standard));
    },
    addressOf,
    write: (topic, frames) => standard.write(topic, frames),
  };

  return {
    name: "deno",
    sockets,
    websocket: undefined,
    async listen({ host, port, sharesPort: reusePort = false, fetch }) {
      const serve: Serve = (hostname, port, signal) =>
        Deno.serve({ hostname, port, reusePort, onListen: () => {}, signal }, (request, info) =>
          fetch(request, info as never),
        );
      try {
        return new DenoListener(host, port, serve);
      } catch (cause) {
        throw await cannotListen(host, port, cause);
      }
    },
    dialWebSocket(url, { ca, cert, key }) {
      // All connections share one client until the files change.
      const files = JSON.stringify([ca, cert, key]);
      if (client === undefined || files !== clientFiles) {
        client = Deno.createHttpClient({ caCerts: ca === undefined ? [] : [ca], cert, key });
        clientFiles = files;
      }
      return new WebSocket(url, { client } as never);
    },
  };
}

/**
 * Restarts the server until that works: Deno's server ends if it can't accept a connection. Open connections
 * continue.
 */
class DenoListener implements Listener {
  readonly address: string;
  readonly port: number;
  readonly #serve: Serve;
  readonly #ending = new AbortController();
  /** `undefined` after a failure, until it listens again. */
  #server: DenoServer | undefined;

  constructor(host: string, port: number, serve: Serve) {
    this.#serve = serve;
    const server = this.#start(host, port);
    this.address = server.addr.hostname;
    this.port = server.addr.port;
  }

  hasRoom(): boolean {
    return this.#server !== undefined;
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    await this.#server?.finished.catch(() => {});
  }

  #start(host: string, port: number): DenoServer {
    const server = this.#serve(host, port, this.#ending.signal);
    this.#server = server;
    server.finished.catch(() => {
      this.#server = undefined;
      setTimeout(() => this.#restart(), RETRY_MS);
    });
    return server;
  }

  #restart(): void {
    if (this.#ending.signal.aborted) return;
    try {
      this.#start(this.address, this.port);
    } catch {
      setTimeout(() => this.#restart(), RETRY_MS);
    }
  }
}

function addressOf(c: Context): string {
  const remote = (c.env as { remoteAddr?: { hostname?: string } } | undefined)?.remoteAddr;
  return remote?.hostname ?? "unknown";
}

class DenoListeners extends HonoListeners<WebSocket> {
  readonly #address: string;
  readonly #sockets: StandardSockets;

  constructor(events: ConnectionEvents, address: string, sockets: StandardSockets) {
    super(events);
    this.#address = address;
    this.#sockets = sockets;
  }

  protected adopt(raw: WebSocket): ClientSocket {
    return this.#sockets.clientOf(raw, this.#address);
  }
}

function close(socket: WebSocket, code: number, reason: string): void {
  // Deno throws if the peer is gone already.
  if (socket.readyState === WebSocket.OPEN) socket.close(code, reason);
  endIdleTimer(socket);
}

/**
 * Ends the timer of `idleTimeout`. If the peer vanished, Deno keeps the timer, and with it the process, for up to half
 * of `read_timeout`. Only Deno's own method can replace the timer, here by one that fires at once. If a later version of
 * Deno lacks the method, this does nothing.
 */
function endIdleTimer(socket: WebSocket): void {
  const timeout = symbolOf(socket, "[[idleTimeout]]");
  const restart = symbolOf(WebSocket.prototype, "[[serverHandleIdleTimeout]]");
  if (timeout === undefined || restart === undefined) return;
  const internals = socket as unknown as Record<symbol, unknown>;
  internals[timeout] = 0.001;
  (internals[restart] as () => void).call(socket);
}

function symbolOf(object: object, description: string): symbol | undefined {
  return Object.getOwnPropertySymbols(object).find((one) => one.description === description);
}
