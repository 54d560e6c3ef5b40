/** Socket.IO on Node as its documentation shows it: an event for every message, to everybody. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { connect } from "nats";
import { Server } from "socket.io";
import { announce } from "./ingest.ts";

const server = createServer();
const io = new Server(server, { transports: ["websocket"] });
const nats = await connect({ servers: process.argv[2]! });
let number = 0;
nats.subscribe("bench.>", {
  callback: (_, message) => {
    io.emit("data", {
      id: `000000000000:${String(number++ % 1_000_000).padStart(6, "0")}`,
      timestamp: Date.now(),
      subject: message.subject,
      payload: message.json(),
    });
  },
});
await nats.flush();
server.listen(0, "127.0.0.1", () => announce((server.address() as AddressInfo).port));
