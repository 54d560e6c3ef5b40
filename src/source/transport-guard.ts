import type { EventEmitter } from "node:events";

/** What is touched of nats.js's TCP transport; none of it is public, so its version is pinned. */
interface Transport {
  socket?: (EventEmitter & { destroy(error?: Error): void }) | undefined;
  connect(...args: unknown[]): Promise<void>;
  peekInfo(): Promise<unknown>;
  _closed(...args: unknown[]): Promise<void>;
}

/** NATS' greeting has less, however many servers of its cluster it names. */
const MOST_GREETING_BYTES = 256 * 1024;
const LINE_END = 0x0a;

const guarded = new WeakSet<object>();

/**
 * Keeps whoever listens in NATS' place from doing harm.
 *
 * - A last error does not end the process. nats.js takes all listeners off a socket before it destroys it. On
 *   Node and Bun a destroyed socket is silent; on Deno 2.9 its pending read still fails (`read ECONNRESET`,
 *   whenever NATS denies a login), and an error that nobody listens to ends the process. So each socket that
 *   is let go of gets a listener that does nothing.
 * - A greeting has a length and a time. nats.js reads all that came anew with each piece of it until a line is
 *   whole, which takes the whole process where there is no end of it, and goes on when it has given up
 *   (https://github.com/nats-io/nats.js/issues/64).
 *
 * @param greetingMs how long a server may take to greet.
 */
export function guardTransport(
  NodeTransport: { readonly prototype: object },
  greetingMs: number,
): void {
  const transport = NodeTransport.prototype as Transport;
  if (guarded.has(transport)) return;
  guarded.add(transport);
  const { connect, peekInfo, _closed: close } = transport;
  transport.connect = async function (this: Transport, ...args: unknown[]) {
    try {
      await connect.apply(this, args);
    } catch (error) {
      this.socket?.on("error", ignore);
      throw error;
    }
  };
  transport.peekInfo = async function (this: Transport) {
    const { socket } = this;
    const isTooLong = greetingMeter();
    // nats.js takes it off with its own ones when it has the greeting.
    socket?.on("data", (data: Uint8Array) => {
      if (isTooLong(data)) socket.destroy(new Error("the greeting has no end"));
    });
    const timer = setTimeout(() => socket?.destroy(new Error("timeout")), greetingMs);
    try {
      return await peekInfo.call(this);
    } finally {
      clearTimeout(timer);
    }
  };
  transport._closed = async function (this: Transport, ...args: unknown[]) {
    const { socket } = this;
    await close.apply(this, args);
    if (this.socket === undefined) socket?.on("error", ignore);
  };
}

/**
 * The same for the socket of nats.ws, which throws inside of its listener, and so ends the process, where a
 * server says text: NATS says bytes.
 */
export function guardWebSocket(socket: WebSocket): void {
  const isTooLong = greetingMeter();
  Object.defineProperty(socket, "onmessage", {
    set: (take: (event: MessageEvent) => void) =>
      socket.addEventListener("message", (event) => {
        const { data } = event;
        if (data instanceof ArrayBuffer && !isTooLong(new Uint8Array(data))) take(event);
        else socket.close();
      }),
  });
}

/** Says of each piece of what a server says whether its greeting has become too long with that. */
function greetingMeter(): (data: Uint8Array) => boolean {
  let length = 0;
  let isOver = false;
  return (data) => {
    if (isOver) return false;
    isOver = data.includes(LINE_END);
    length += data.length;
    return !isOver && length > MOST_GREETING_BYTES;
  };
}

function ignore(): void {}
