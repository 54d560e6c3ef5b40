import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

type Answer = (response: ServerResponse, request: IncomingMessage) => void;

/** A real HTTP server that publishes keys, well or badly. */
export class KeyServer {
  readonly #server = createServer((request, response) => {
    this.requests++;
    this.answer(response, request);
  });
  /** How many requests have come. */
  requests = 0;
  answer: Answer;
  #port = 0;

  private constructor(answer: Answer) {
    this.answer = answer;
  }

  static async start(answer: Answer): Promise<KeyServer> {
    const server = new KeyServer(answer);
    await server.listen();
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/keys`;
  }

  /** Listens on the same port as before. */
  async listen(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.listen(this.#port, "127.0.0.1", resolve);
    await promise;
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    this.#server.close(resolve);
    this.#server.closeAllConnections();
    await promise;
  }
}

export function answering(
  body: string,
  status = 200,
  headers: Record<string, string> = {},
): Answer {
  return (response) =>
    void response.writeHead(status, { "Content-Type": "application/json", ...headers }).end(body);
}
