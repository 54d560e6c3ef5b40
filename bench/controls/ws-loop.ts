/**
 * What most people write: the package ws on Node, and one send per client and message. The message
 * becomes JSON once, which is the better of the two usual ways.
 */
import { connect } from "nats";
import { WebSocket, WebSocketServer } from "ws";
import { announce } from "./ingest.ts";

const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
const nats = await connect({ servers: process.argv[2]! });
let number = 0;
nats.subscribe("bench.>", {
  callback: (_, message) => {
    const text = JSON.stringify({
      type: "data",
      id: `000000000000:${String(number++ % 1_000_000).padStart(6, "0")}`,
      timestamp: Date.now(),
      subject: message.subject,
      payload: message.json(),
    });
    for (const client of server.clients) {
      if (client.readyState === WebSocket.OPEN) client.send(text);
    }
  },
});
await nats.flush();
announce((server.address() as { port: number }).port);
