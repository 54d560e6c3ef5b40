import type { SocketRuntime } from "./sockets.ts";

/** What a server of ours listens with. */
export interface ListenOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly fetch: (request: Request, env: never) => Response | Promise<Response>;
}

/** A server of ours that listens. */
export interface Listener {
  /** The port that was taken. */
  readonly port: number;
  /** The IP address, also where the host was given by name. */
  readonly address: string;
  /** Whether it can accept a connection; absent where only the system knows. */
  hasRoom?(): boolean;
  /** Accepts connections again after descriptors had run out; absent where that happens by itself. */
  restart?(): void;
  /** Ends all that is left of its connections, and frees the port. May be called twice. */
  stop(): Promise<void>;
}

export interface SocketLimits {
  /** More connections than this are dropped at once, where the runtime can. */
  readonly maxConnections: number;
  /** The longest frame that a client may send. */
  readonly maxFrameBytes: number;
  /** How long a silent client lives, where the runtime alone can tell (Deno). */
  readonly readTimeoutMs: number;
  /** How long a request may take to arrive, body included; then it is answered with 408. */
  readonly requestTimeoutMs: number;
  /** The longest body that a request may have. */
  readonly maxBodyBytes: number;
  /** Whether permessage-deflate (RFC 7692) is agreed to where a client offers it. */
  readonly compression: boolean;
  /** Shorter frames are not compressed. */
  readonly compressionThresholdBytes: number;
}

/** A JavaScript runtime, as far as it differs from the others. */
export interface Runtime {
  readonly name: "bun" | "deno" | "node";
  readonly sockets: SocketRuntime;
  /**
   * What a host's own server must be given beside our routes, so that it can upgrade.
   *
   * - Bun: the `websocket` handler of `Bun.serve`.
   * - Deno: nothing.
   * - Node: the `websocket` option of `serve` from `@hono/node-server`, a new one for each server.
   */
  readonly websocket: unknown;
  /** @throws SpillwayError `"LISTEN_FAILED"` (transient) when the address cannot be had. */
  listen(options: ListenOptions): Promise<Listener>;
  /** Opens a client's WebSocket with a certificate authority and certificate of our own. */
  dialWebSocket(url: string, tls: TlsFiles): WebSocket;
}

/** What TLS needs, in PEM. */
export interface TlsFiles {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}
