// Spillway inside your own Node server (22 or newer). Try it: `node examples/node.js`
// In a clone, "spillway" is the build that `npm install` made; `npm run build` renews it.
import process from "node:process";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { createGateway } from "spillway/node";

const gateway = await createGateway({
  subjects: ["orders.>"],
  ...(process.env.NATS_URL && { nats_url: process.env.NATS_URL }),
});

const app = new Hono();
app.get("/", (c) => c.text("the host's own page"));
app.route("/live", gateway.app); // the stream is at /live/ws

await gateway.start();
const server = serve(
  {
    port: Number(process.env.PORT ?? 3000),
    hostname: "127.0.0.1",
    fetch: app.fetch,
    websocket: gateway.websocket, // lets the server upgrade
  },
  ({ port }) => void process.stdout.write(`Listening on http://127.0.0.1:${port}/live/ws\n`),
);

process.once("SIGTERM", async () => {
  await gateway.stop(5000);
  server.close();
});
