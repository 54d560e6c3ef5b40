/**
 * Bare Deno: one send per client and message, as its native socket cannot join frames. No envelope
 * is encoded, nobody is looked after.
 */
import { announce, HEAD, ingest, TAIL } from "./ingest.ts";

/** The part of Deno's own namespace that is used here. */
interface DenoNamespace {
  upgradeWebSocket(request: Request): { socket: WebSocket; response: Response };
  serve(
    options: { hostname: string; port: number; onListen: (address: { port: number }) => void },
    handler: (request: Request) => Response,
  ): unknown;
}

const { Deno } = globalThis as unknown as { Deno: DenoNamespace };
const head = HEAD.toString();
const tail = TAIL.toString();
const decoder = new TextDecoder();
const sockets = new Set<WebSocket>();
let frames: string[] = [];

await ingest({
  add: (data) => void frames.push(head + decoder.decode(data) + tail),
  flush() {
    const ready = frames;
    frames = [];
    for (const frame of ready) for (const socket of sockets) socket.send(frame);
  },
});
Deno.serve(
  { hostname: "127.0.0.1", port: 0, onListen: ({ port }) => announce(port) },
  (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.onopen = () => sockets.add(socket);
    socket.onclose = () => sockets.delete(socket);
    return response;
  },
);
