import type { EventEmitter } from "node:events";

/** What is touched of nats.js's TCP transport; none of it is public, so its version is pinned. */
interface Transport {
  socket?: EventEmitter | undefined;
  connect(...args: unknown[]): Promise<void>;
  _closed(...args: unknown[]): Promise<void>;
}

const guarded = new WeakSet<object>();

/**
 * Keeps a last error from ending the process. nats.js takes all listeners off a socket before it
 * destroys it. On Node and Bun a destroyed socket is silent; on Deno 2.9 its pending read still
 * fails (`read ECONNRESET`, whenever NATS denies a login), and an error that nobody listens to ends
 * the process. So each socket that is let go of gets a listener that does nothing.
 */
export function guardTransport(NodeTransport: { readonly prototype: object }): void {
  const transport = NodeTransport.prototype as Transport;
  if (guarded.has(transport)) return;
  guarded.add(transport);
  const { connect, _closed: close } = transport;
  transport.connect = async function (this: Transport, ...args: unknown[]) {
    try {
      await connect.apply(this, args);
    } catch (error) {
      this.socket?.on("error", ignore);
      throw error;
    }
  };
  transport._closed = async function (this: Transport, ...args: unknown[]) {
    const { socket } = this;
    await close.apply(this, args);
    if (this.socket === undefined) socket?.on("error", ignore);
  };
}

function ignore(): void {}
