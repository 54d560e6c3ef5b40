/** What becomes of sockets that are written to while they end, told line by line; run by `sockets.test.ts`. */
import { connect, type Socket } from "node:net";
import process from "node:process";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { HttpBindings } from "@hono/node-server";
import { Hono } from "hono";
import type { ClientSocket, SendResult } from "../../src/core/ports/socket.ts";
import { TextFrame } from "../../src/core/ports/text-frame.ts";
import { EventStreams } from "../../src/http/event-stream.ts";
import { createRuntime, type SocketChoice } from "../../src/runtime/detect.ts";
import type { ConnectionEvents } from "../../src/runtime/runtime.ts";

const HANDSHAKE =
  "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
/** A masked close frame with 1000 (RFC 6455 §5.5.1). */
const CLOSE_FRAME = Uint8Array.of(0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8);
const TOPIC = "all";
const MANY = 20;
const FRAMES = [new TextFrame(new TextEncoder().encode(`"${"x".repeat(64 * 1024)}"`))];

const limits = {
  maxConnections: 1000,
  requestTimeoutMs: 60_000,
  maxFrameBytes: 65_536,
  // Longer than any test: no timer of a peer that has gone may keep the process.
  readTimeoutMs: 3_600_000,
  maxBodyBytes: 65_536,
  compression: false,
  compressionThresholdBytes: 0,
};
const runtime = await createRuntime(limits, process.env.PROGRAM_SOCKETS as SocketChoice, "listens");
const streams = new EventStreams();

/** One connection, and whether its end was told inside of a call that may not do that. */
class Watched implements ConnectionEvents {
  socket: ClientSocket | undefined;
  closedInCall = false;
  readonly opened = Promise.withResolvers<void>();
  readonly ended = Promise.withResolvers<void>();
  isClosed = false;
  #inCall = false;

  open(socket: ClientSocket): void {
    this.socket = socket;
    socket.join(TOPIC);
    this.opened.resolve();
  }

  message(): void {}

  alive(): void {}

  pong(): void {}

  closed(): void {
    this.closedInCall ||= this.#inCall;
    this.isClosed = true;
    this.ended.resolve();
  }

  /** Writes in each way that there is. */
  write(): SendResult {
    const { socket } = this;
    this.#inCall = true;
    const result = socket!.write(FRAMES);
    socket!.ping?.("1");
    runtime.sockets.write(TOPIC, FRAMES, false);
    streams.write(TOPIC, FRAMES);
    this.#inCall = false;
    return result;
  }
}

let watched = new Watched();
/** A request that isn't answered: resolves when it is there, and when its peer is gone. */
const unanswered = { there: Promise.withResolvers<void>(), left: Promise.withResolvers<void>() };
/** The requests of the handshakes, where Node's sockets serve them. */
const requests: WeakRef<object>[] = [];
const app = new Hono()
  .get("/unanswered", async (c) => {
    const { there, left } = unanswered;
    c.req.raw.signal.addEventListener("abort", () => left.resolve());
    there.resolve();
    await left.promise;
    return c.text("");
  })
  .get("/ws", (c) => {
    const { incoming } = c.env as Partial<HttpBindings>;
    if (incoming !== undefined) requests.push(new WeakRef(incoming));
    return runtime.sockets.upgrade(c, watched);
  })
  .get("/sse", (c) => streams.open(c, watched, runtime.sockets));
const listener = await runtime.listen({ host: "127.0.0.1", port: 0, fetch: app.fetch as never });

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const tell = (name: string, fact: unknown): void =>
  void process.stdout.write(`${JSON.stringify({ name, fact })}\n`);

/** A peer that has its connection. It reads when it is told to. */
async function join(path: string): Promise<Socket> {
  watched = new Watched();
  const peer = connect({ host: "127.0.0.1", port: listener.port });
  peer.on("error", () => {}).pause();
  const upgrade = path === "/ws" ? HANDSHAKE : "";
  peer.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n`);
  await watched.opened.promise;
  return peer;
}

/** Writes until the end of the connection has been told. */
async function writeUntilClosed(): Promise<unknown> {
  const { closedInCall } = watched;
  while (!watched.isClosed) {
    watched.write();
    await turn();
  }
  return { closedInCall: closedInCall || watched.closedInCall, written: watched.write() };
}

/** Collects garbage, and counts the requests of open connections that are left. */
async function countKeptRequests(): Promise<number> {
  const peers: Socket[] = [];
  for (let count = 0; count < MANY; count++) peers.push(await join("/ws"));
  const collect = garbageCollector();
  const kept = () => requests.filter((request) => request.deref() !== undefined).length;
  for (let times = 0; times < MANY && kept() > 0; times++) {
    await turn();
    collect();
  }
  const left = kept();
  for (const peer of peers) peer.destroy();
  return left;
}

function garbageCollector(): () => void {
  if ("Bun" in globalThis) return () => Bun.gc(true);
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
}

const kept = await countKeptRequests();
// A value on the stack may be taken for a reference.
tell("/ws: requests of open connections are kept", kept > MANY / 4);

for (const path of ["/ws", "/sse"]) {
  const vanishing = await join(path);
  vanishing.resume();
  watched.write();
  await turn();
  vanishing.destroy();
  tell(`${path}: peer has gone`, await writeUntilClosed());

  const resetting = await join(path);
  // With so much unread in the kernel, the end of the peer is a reset.
  while (watched.socket!.bufferedBytes() < 1024 ** 2) {
    watched.write();
    await turn();
  }
  resetting.destroy();
  tell(`${path}: peer that did not read has gone`, await writeUntilClosed());

  if (path === "/ws") {
    const closing = await join(path);
    closing.resume();
    closing.write(CLOSE_FRAME);
    tell(`${path}: peer closes`, await writeUntilClosed());
    closing.destroy();
  }

  const told = await join(path);
  told.resume();
  watched.write();
  watched.socket!.close(1001, "going away");
  tell(`${path}: we close`, watched.write());
  told.end(CLOSE_FRAME);
  await watched.ended.promise;
  tell(`${path}: we have closed`, await writeUntilClosed());
  told.destroy();
}
const leaving = connect({ host: "127.0.0.1", port: listener.port });
leaving.on("error", () => {});
leaving.write("GET /unanswered HTTP/1.1\r\nHost: x\r\n\r\n");
await unanswered.there.promise;
leaving.destroy();
await unanswered.left.promise;
tell("/unanswered: peer has gone", "known");
await listener.stop();
