import { within } from "./event-log.ts";

/** A client that only counts messages and keeps none, so that a flood does not fill the memory. */
export class CountingClient {
  readonly #socket: WebSocket;
  #got = 0;
  #asked = 0;
  #arrived = Promise.withResolvers<void>();

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = () => {
      if (++this.#got >= this.#asked) this.#arrived.resolve();
    };
  }

  /** Connects, and returns when the connection is open. */
  static async open(url: string): Promise<CountingClient> {
    const socket = new WebSocket(url);
    const open = Promise.withResolvers<void>();
    socket.onopen = () => open.resolve();
    socket.onclose = () => open.reject(new Error(`${url}: closed before it was open`));
    await within(open.promise, `WebSocket to ${url}`);
    return new CountingClient(socket);
  }

  /** Waits for this many more messages. */
  async more(count: number): Promise<void> {
    this.#asked += count;
    this.#arrived = Promise.withResolvers();
    if (this.#got >= this.#asked) return;
    await within(this.#arrived.promise, () => `${this.#asked} messages; ${this.#got} came`);
  }

  close(): void {
    this.#socket.close();
  }
}
