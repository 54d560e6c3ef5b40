/**
 * Bare Node: each frame is built once, in a buffer that holds all frames of a flush, and that buffer
 * is written to each socket. No envelope is encoded, nobody is looked after.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
// Bun has a replacement of its own for the package, whose sockets nobody can write frames to.
import { WebSocketServer } from "../../src/runtime/ws.ts";
import { announce, HEAD, ingest, TAIL } from "./ingest.ts";

const SLAB_BYTES = 1024 * 1024;
/** More than this is not kept for the end of the turn. */
const FLUSH_BYTES = 128 * 1024;

const sockets = new Set<Duplex>();
let slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
/** Frames stand here from `start` to `end`; what is before them is still being written. */
let start = 0;
let end = 0;

function add(data: Uint8Array): void {
  const length = HEAD.length + data.length + TAIL.length;
  if (end + length + 10 > slab.length) {
    flush();
    slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, length + 10));
    start = 0;
    end = 0;
  }
  slab[end++] = 0x81;
  if (length < 126) {
    slab[end++] = length;
  } else if (length < 65_536) {
    slab[end++] = 126;
    end = slab.writeUInt16BE(length, end);
  } else {
    slab[end++] = 127;
    end = slab.writeBigUInt64BE(BigInt(length), end);
  }
  for (const part of [HEAD, data, TAIL]) {
    slab.set(part, end);
    end += part.length;
  }
  if (end - start >= FLUSH_BYTES) flush();
}

function flush(): void {
  const frames = slab.subarray(start, end);
  start = end;
  for (const socket of sockets) socket.write(frames);
}

const upgrades = new WebSocketServer({ noServer: true, perMessageDeflate: false });
const server = createServer();
server.on("upgrade", (request, socket, head) => {
  upgrades.handleUpgrade(request, socket, head, (client) => {
    sockets.add(socket);
    client.on("close", () => sockets.delete(socket));
  });
});
await ingest({ add, flush });
server.listen(0, "127.0.0.1", () => announce((server.address() as AddressInfo).port));
