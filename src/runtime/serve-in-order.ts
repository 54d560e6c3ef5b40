import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { IdleConnections } from "./idle-connections.ts";

/** How many requests may wait on a connection for an earlier one. With more, the connection is dropped. */
const MAX_WAITING = 16;

type Exchange = readonly [IncomingMessage, ServerResponse];

/** The requests of a connection while one is unanswered, and until the turn after its answer. */
interface RequestQueue {
  current: ServerResponse | undefined;
  readonly waiting: Exchange[];
}

/** The connections of a server. */
export interface ServedConnections {
  readonly idle: IdleConnections;
  /** Whether a connection has an unanswered request. */
  isBusy(socket: Duplex): boolean;
  /** A connection has no more requests: it is a WebSocket, or ends. */
  leave(socket: Duplex): void;
}

/**
 * Serves the pipelined requests of a connection one after the other, each in its own turn of the event loop. `node:http`
 * delivers all of them at once: a client could send a thousand requests in one write, which would block the loop until
 * all are answered, and open a thousand event streams on one connection.
 */
export function serveInOrder(server: Server): ServedConnections {
  const queues = new WeakMap<Duplex, RequestQueue>();
  const idle = new IdleConnections();
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
    // The connection may have become a WebSocket since the answer.
    if (queues.get(socket) !== queue) return;
    const next = socket.destroyed ? undefined : queue.waiting.shift();
    if (next !== undefined) {
      serve(queue, next);
      return;
    }
    queues.delete(socket);
    idle.add(socket);
  }

  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request;
    if (socket.destroyed) return;
    let queue = queues.get(socket);
    if (queue === undefined) {
      idle.remove(socket);
      queue = { current: undefined, waiting: [] };
      queues.set(socket, queue);
      serve(queue, [request, response]);
    } else if (queue.waiting.length < MAX_WAITING) {
      queue.waiting.push([request, response]);
    } else {
      socket.destroy();
    }
  });

  return {
    idle,
    isBusy(socket) {
      const queue = queues.get(socket);
      return queue !== undefined && (queue.current !== undefined || queue.waiting.length > 0);
    },
    leave(socket) {
      queues.delete(socket);
      idle.remove(socket);
    },
  };
}
