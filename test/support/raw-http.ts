import { connect, type Socket } from "node:net";
import { within } from "./event-log.ts";

/** A connection on which a test writes HTTP byte for byte. */
export class RawHttp {
  readonly #socket: Socket;
  readonly #status = Promise.withResolvers<number>();
  #text = "";

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket
      .on("error", () => {})
      .on("close", () => this.#status.resolve(0))
      .on("data", (data) => {
        this.#text += String(data);
        const [, status] = /^HTTP\/1\.1 (\d{3}).*\r\n\r\n/s.exec(this.#text) ?? [];
        if (status !== undefined) this.#status.resolve(Number(status));
      });
  }

  static async open(port: number): Promise<RawHttp> {
    const socket = connect({ host: "127.0.0.1", port });
    const opened = Promise.withResolvers<void>();
    socket.once("connect", () => opened.resolve());
    await within(opened.promise, "connection");
    return new RawHttp(socket);
  }

  write(text: string): void {
    this.#socket.write(text);
  }

  /** Returns the status of the first answer; 0 if the connection was closed without one. */
  async status(): Promise<number> {
    return await within(this.#status.promise, () => `answer; came instead: ${this.#text}`);
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/** Returns the status of an answer on a connection of its own; `undefined`: there is none soon. */
export async function answerOf(url: string): Promise<number | undefined> {
  try {
    const headers = { Connection: "close" };
    return (await fetch(url, { headers, signal: AbortSignal.timeout(1000) })).status;
  } catch {
    return undefined;
  }
}
