/**
 * Bare Bun: one native publish per message to one topic, which Bun joins into few writes. No
 * envelope is encoded, nobody is looked after.
 */
import { announce, HEAD, ingest, TAIL } from "./ingest.ts";

const head = HEAD.toString();
const tail = TAIL.toString();
const decoder = new TextDecoder();
let frames: string[] = [];

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch: (request, server) =>
    server.upgrade(request) ? undefined : new Response(null, { status: 426 }),
  websocket: {
    perMessageDeflate: false,
    backpressureLimit: 256 * 1024 * 1024,
    open: (socket) => void socket.subscribe("all"),
    message() {},
  },
});
await ingest({
  add: (data) => void frames.push(head + decoder.decode(data) + tail),
  flush() {
    const ready = frames;
    frames = [];
    for (const frame of ready) server.publish("all", frame, false);
  },
});
announce(server.port!);
