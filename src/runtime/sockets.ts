import type { Context } from "hono";
import type { WSContext, WSEvents, WSMessageReceive } from "hono/ws";
import type { ClientSocket, Fanout } from "../core/ports/socket.ts";
import type { CloseCause } from "../protocol/close-codes.ts";

/** What happens on one connection. None of these may throw or take long. */
export interface ConnectionEvents {
  open(socket: ClientSocket): void;
  message(data: string | Uint8Array): void;
  /** A ping or a pong came. */
  alive(): void;
  /** Called at least once, also after `close` and `terminate`; see `Client.closed`. */
  closed(code: number, cause?: CloseCause): void;
}

/** How a runtime turns requests into sockets, and writes to many of them. */
export interface SocketRuntime extends Fanout {
  /**
   * Answers a checked WebSocket handshake: the runtime's own 101 response.
   *
   * @param protocol the subprotocol that is chosen of those that the client offers; none without it.
   * @throws SpillwayError `"UPGRADE_UNSUPPORTED"` (invalid) when the host's server cannot upgrade,
   * and says what the host has to pass to it.
   */
  upgrade(c: Context, events: ConnectionEvents, protocol?: string): Promise<Response>;
  /** Where the peer of a request is, for logs; `"unknown"` where the host's server does not say. */
  addressOf(c: Context): string;
  /** Drops the connection of a request, where to fail its answer's body is not enough for that. */
  drop?(c: Context): void;
}

/**
 * The events as Hono's WebSocket helper wants them; methods rather than closures, as there is one of
 * these for each connection. The context is not kept: Bun makes a new one per event, and only `raw` is
 * the socket itself.
 */
export abstract class HonoListeners<Raw> implements WSEvents<Raw> {
  protected readonly events: ConnectionEvents;

  constructor(events: ConnectionEvents) {
    this.events = events;
  }

  protected abstract adopt(raw: Raw): ClientSocket;

  onOpen(_event: Event, { raw }: WSContext<Raw>): void {
    if (raw !== undefined) this.events.open(this.adopt(raw));
  }

  onMessage({ data }: MessageEvent<WSMessageReceive>): void {
    if (typeof data === "string") this.events.message(data);
    // Each adapter asks its runtime for array buffers, so a Blob never comes.
    else if (!(data instanceof Blob)) this.events.message(new Uint8Array(data));
  }

  onClose({ code }: CloseEvent): void {
    this.events.closed(code);
  }

  /** A close follows every error; the adapters tell what it means where the runtime says more. */
  onError(): void {}
}
