import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

/** How many requests may wait on a connection until an earlier one is answered; with more it is dropped. */
const MAX_WAITING = 16;

type Exchange = readonly [IncomingMessage, ServerResponse];

/** The requests of a connection whose earlier one is not answered, or was in this turn. */
interface Line {
  current: ServerResponse | undefined;
  readonly waiting: Exchange[];
}

/**
 * Serves the requests of a connection one after the other, each in a turn of the event loop of its own.
 * `node:http` hands over everything that a connection has brought at once: a single write of a thousand
 * requests would hold the loop until all are answered, and open a thousand event streams on one connection.
 *
 * @returns a function that says whether a request of a connection is not answered yet.
 */
export function serveInOrder(server: Server): (socket: Duplex) => boolean {
  const lines = new WeakMap<Duplex, Line>();
  const listeners = server.listeners("request");
  server.removeAllListeners("request");

  function serve(line: Line, [request, response]: Exchange): void {
    line.current = response;
    const answered = (): void => {
      if (line.current !== response) return;
      line.current = undefined;
      setImmediate(serveNext, line, request.socket);
    };
    response.once("finish", answered).once("close", answered);
    for (const listener of listeners) listener.call(server, request, response);
  }

  function serveNext(line: Line, socket: Duplex): void {
    const next = socket.destroyed ? undefined : line.waiting.shift();
    if (next === undefined) lines.delete(socket);
    else serve(line, next);
  }

  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request;
    if (socket.destroyed) return;
    let line = lines.get(socket);
    if (line === undefined) {
      line = { current: undefined, waiting: [] };
      lines.set(socket, line);
      serve(line, [request, response]);
    } else if (line.waiting.length < MAX_WAITING) {
      line.waiting.push([request, response]);
    } else {
      socket.destroy();
    }
  });

  return (socket) => {
    const line = lines.get(socket);
    return line !== undefined && (line.current !== undefined || line.waiting.length > 0);
  };
}
