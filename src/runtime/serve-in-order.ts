import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";

/** How many requests may wait on a connection for an earlier one. With more, the connection is dropped. */
const MAX_WAITING = 16;

type Exchange = readonly [IncomingMessage, ServerResponse];

/** The requests of a connection while one is unanswered, and until the turn after its answer. */
interface RequestQueue {
  current: ServerResponse | undefined;
  readonly waiting: Exchange[];
}

/**
 * Serves the pipelined requests of a connection one after the other, each in its own turn of the event loop. `node:http`
 * delivers all of them at once: a client could send a thousand requests in one write, which would block the loop until
 * all are answered, and open a thousand event streams on one connection.
 *
 * @returns a function that says whether a connection has an unanswered request.
 */
export function serveInOrder(server: Server): (socket: Duplex) => boolean {
  const queues = new WeakMap<Duplex, RequestQueue>();
  const listeners = server.listeners("request");
  server.removeAllListeners("request");

  function serve(queue: RequestQueue, [request, response]: Exchange): void {
    queue.current = response;
    const answered = (): void => {
      if (queue.current !== response) return;
      queue.current = undefined;
      setImmediate(serveNext, queue, request.socket);
    };
    response.once("finish", answered).once("close", answered);
    for (const listener of listeners) listener.call(server, request, response);
  }

  function serveNext(queue: RequestQueue, socket: Duplex): void {
    const next = socket.destroyed ? undefined : queue.waiting.shift();
    if (next === undefined) queues.delete(socket);
    else serve(queue, next);
  }

  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request;
    if (socket.destroyed) return;
    let queue = queues.get(socket);
    if (queue === undefined) {
      queue = { current: undefined, waiting: [] };
      queues.set(socket, queue);
      serve(queue, [request, response]);
    } else if (queue.waiting.length < MAX_WAITING) {
      queue.waiting.push([request, response]);
    } else {
      socket.destroy();
    }
  });

  return (socket) => {
    const queue = queues.get(socket);
    return queue !== undefined && (queue.current !== undefined || queue.waiting.length > 0);
  };
}
