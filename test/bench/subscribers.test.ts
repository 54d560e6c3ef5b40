import { expect, test } from "bun:test";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { FlowTask } from "../../bench/load/subscribers.ts";
import { startProcess } from "../support/child-process.ts";
import { ensureNode } from "../support/node-binary.ts";
import { ROOT } from "../support/runtimes.ts";

/** Accepts the load client's handshake. */
const ACCEPTED = "HTTP/1.1 101 \r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const MESSAGE = Buffer.from([0x81, 2, ...Buffer.from("{}")]);

test("a client that gets no message fails a saturated run: its publisher waits for the slowest client", async () => {
  const clients: Socket[] = [];
  const gateway = await listen((socket) => {
    socket.once("data", () => {
      clients.push(socket);
      socket.write(ACCEPTED);
    });
  });
  const nats = await listen((socket) => {
    socket.write("INFO {}\r\n");
    socket.on("data", (chunk) => {
      const text = chunk.toString("latin1");
      if (text.includes("PING\r\n")) socket.write("PONG\r\n");
      for (let left = text.split("PUB ").length; left > 1; left--) clients[0]!.write(MESSAGE);
    });
  });
  const task: FlowTask = {
    ...{ port: portOf(gateway), path: "/", dialect: "envelope", subject: "bench.load" },
    ...{ natsPort: portOf(nats), payloadBytes: 64, inFlight: 8, clients: 2 },
    ...{ warmUpMs: 50, measureMs: 50, flowMs: 150, pids: { gateway: process.pid } },
  };
  const command = [ensureNode("node"), "bench/load/subscribers.ts", JSON.stringify(task)];
  const load = await startProcess("load", command, { cwd: ROOT });
  const { code } = await load.exited;
  const said = load.lines.entries.map(({ text }) => text).join("\n");
  expect(said).toContain("the publisher waits for a client that has 0 messages");
  expect(code).toBe(1);
  for (const server of [gateway, nats]) server.close();
});

async function listen(connected: (socket: Socket) => void): Promise<Server> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    connected(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
