import type { EventEmitter } from "node:events";

/** The part of nats.js's TCP transport that is changed. It is not public, so the version of nats.js is pinned. */
interface Transport {
  socket?: (EventEmitter & { destroy(error?: Error): void }) | undefined;
  connect(...args: unknown[]): Promise<void>;
  peekInfo(): Promise<unknown>;
  _closed(...args: unknown[]): Promise<void>;
}

/** The most bytes of a greeting: that of NATS has less, however many servers of the cluster it names. */
const MOST_GREETING_BYTES = 256 * 1024;
const LINE_END = 0x0a;

const guarded = new WeakSet<object>();

/**
 * Protects the process from whatever listens at the address of NATS.
 *
 * - **Late errors.** nats.js removes all listeners from a socket before it destroys it. On Deno 2.9, the pending read
 *   of a destroyed socket still fails (`read ECONNRESET`, whenever NATS denies a login), and an error without a
 *   listener ends the process. So each socket that is given up gets a listener that does nothing.
 * - **Endless greetings.** nats.js reads a greeting from its start with each piece of it until its line is complete.
 *   An endless one takes all of the process's time, even after nats.js gave up
 *   (https://github.com/nats-io/nats.js/issues/64). So a greeting has a longest length and time.
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
      if (isTooLong(data)) socket.destroy(new Error("the server's greeting is too long"));
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
 * The same for the socket of nats.ws, which throws in its listener, and so ends the process, at text messages: NATS
 * sends binary ones.
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

/** Returns a function that takes each piece of a greeting, and returns whether the greeting is too long. */
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
