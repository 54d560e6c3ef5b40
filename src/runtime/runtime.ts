import type { Context } from "hono";
import type { ClientSocket, Fanout } from "../core/ports/socket.ts";
import type { CloseCause } from "../protocol/close-codes.ts";

/**
 * The time for which a connection stays open that waits for its next request. Proxies use a connection to the gateway again for up to a minute
 * (AWS ALB, nginx), and a request that meets its end is lost.
 */
export const IDLE_CONNECTION_MS = 75_000;

/** A JavaScript runtime, as far as it differs from the others: its server and its sockets. */
export interface Runtime<WebSocketOption = unknown> {
  readonly name: string;
  readonly sockets: SocketRuntime;
  /**
   * The option that the host's own server needs in addition to our routes, so that it can upgrade.
   *
   * - Bun: the `websocket` handler of `Bun.serve`.
   * - Deno: `undefined`.
   * - Node: the `websocket` option of `serve` from `@hono/node-server`, a new one for each server.
   */
  readonly websocket: WebSocketOption;
  /** @throws SpillwayError `"LISTEN_FAILED"` (transient) if the address can't be used. */
  listen(options: ListenOptions): Promise<Listener>;
  /** Opens a WebSocket to a server with a certificate authority and a certificate of our own. */
  dialWebSocket(url: string, tls: TlsFiles): WebSocket;
}

/** Creates a runtime. The gateway calls it once. */
export type CreateRuntime<WebSocketOption = unknown> = (
  options: RuntimeOptions,
) => Runtime<WebSocketOption>;

/** The limits that a runtime keeps, from the configuration. */
export interface RuntimeOptions {
  /** The server drops further connections at once, where the runtime can. */
  readonly maxConnections: number;
  /** The longest frame that a client may send, in bytes. */
  readonly maxFrameBytes: number;
  /** The time that a silent client stays connected, if only the runtime can tell (Deno). */
  readonly readTimeoutMs: number;
  /** How long a request may take to arrive, body included. The answer is then 408. */
  readonly requestTimeoutMs: number;
  /** The longest body that a request may have, in bytes. */
  readonly maxBodyBytes: number;
  /** Whether the server agrees to permessage-deflate (RFC 7692) if a client offers it. */
  readonly compression: boolean;
  /** Shorter frames are not compressed. */
  readonly compressionThresholdBytes: number;
}

/** The options of a server of our own. */
export interface ListenOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  /**
   * Whether other processes of the same user may listen on the same port, among which the kernel shares out connections
   * (SO_REUSEPORT). Only Linux does. Default: `false`.
   */
  readonly sharesPort?: boolean;
  readonly fetch: (request: Request, env: never) => Response | Promise<Response>;
  /** `undefined`: connections are not encrypted. Only Node's sockets can encrypt them. */
  readonly tls?: ServerTls | undefined;
  /** Is told of a client whose certificate is missing or not accepted, if the runtime says so: Bun doesn't. */
  readonly certificateRefused?: (refusal: CertificateRefusal) => void;
}

/** A client that was dropped because of its certificate. */
export interface CertificateRefusal {
  readonly address: string;
  /** For people. */
  readonly reason: string;
  /** The names in the certificate; absent if its authority isn't accepted. */
  readonly names?: readonly string[];
}

/** The certificate that a server of our own shows to its clients, and those that it asks of them. */
export interface ServerTls {
  /** The certificate and those between it and its authority, in PEM. */
  readonly cert: string;
  readonly key: string;
  /** The authorities of clients, in PEM. If there is one, clients must have a certificate. */
  readonly clientCa: readonly string[];
  /** The common name, or a name of the kind DNS, that a client's certificate must have; empty: any. */
  readonly clientNames: readonly string[];
  readonly minVersion: "1.2" | "1.3";
}

/** A server of our own that listens. */
export interface Listener {
  /** The port that it listens on. */
  readonly port: number;
  /** The IP address, also if the host was given by name. */
  readonly address: string;
  /** Whether it can accept a connection; absent if only the system knows. */
  hasRoom?(): boolean;
  /** Accepts connections again if it has stopped because no file descriptor was free; absent if it never stops. */
  keepAccepting?(): void;
  /** Ends connections that wait for their next request; absent where that happens by itself before no room is left. */
  endIdle?(): void;
  /** Takes another certificate for new connections; open ones continue. Absent if connections are not encrypted. */
  setTls?(tls: ServerTls): void;
  /** Drops connections beyond another number from now on; absent where the runtime has no such limit. */
  setMaxConnections?(count: number): void;
  /** Accepts no more connections; open ones continue. Absent where a runtime's sockets would end with it (Deno's own). */
  close?(): void;
  /** Ends the connections that are left and frees the port. May be called twice. */
  stop(): Promise<void>;
}

/** How a runtime turns requests into sockets, and writes to many of them. */
export interface SocketRuntime extends Fanout {
  /**
   * Answers a checked WebSocket handshake with the runtime's own 101 response.
   *
   * @param protocol the subprotocol that the gateway chose; `undefined` if there is none.
   * @throws SpillwayError `"UPGRADE_UNSUPPORTED"` (invalid) if the host's server can't upgrade; the message
   * says what the host must pass to it.
   */
  upgrade(c: Context, events: ConnectionEvents, protocol?: string): Promise<Response>;
  /** Returns the address of a request's peer, for logs; `"unknown"` if the host's server doesn't say it. */
  addressOf(c: Context): string;
  /** Drops the connection of a request, if an error in the answer's body doesn't end it. */
  drop?(c: Context): void;
  /** Lets a request's answer be quiet for any time; absent where it may be. */
  keepOpen?(c: Context): void;
}

/** Is told what happens on one connection. The methods return at once and never throw. */
export interface ConnectionEvents {
  open(socket: ClientSocket): void;
  message(data: string | Uint8Array): void;
  /** A ping came. */
  alive(): void;
  /** A pong came. */
  pong(content: Uint8Array): void;
  /** The connection ended. Called at least once, also after `close` and `terminate` of the socket. */
  closed(code: number, cause?: CloseCause): void;
}

/** Certificates and a key, in PEM. */
export interface TlsFiles {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}
