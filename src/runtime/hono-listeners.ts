import type { WSContext, WSEvents, WSMessageReceive } from "hono/ws";
import type { ClientSocket } from "../core/ports/socket.ts";
import type { ConnectionEvents } from "./runtime.ts";

/**
 * Passes the events of Hono's WebSocket helper on to {@linkcode ConnectionEvents}. There is one for each connection, so
 * it has methods rather than closures. It doesn't keep the context: Bun makes a new one for each event, and only `raw`
 * is the socket itself.
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
    // Each runtime is configured for array buffers, so a Blob never comes.
    else if (!(data instanceof Blob)) this.events.message(new Uint8Array(data));
  }

  onClose({ code }: CloseEvent): void {
    this.events.closed(code);
  }

  /** A close event follows every error. */
  onError(): void {}
}
