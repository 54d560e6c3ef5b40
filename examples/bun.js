// Spillway inside your own Bun server. Try it: `bun run examples/bun.js`
import { Hono } from "hono";
import { createGateway } from "spillway/bun";

const gateway = await createGateway({
  subjects: ["orders.>"],
  ...(process.env.NATS_URL && { nats_url: process.env.NATS_URL }),
});

const app = new Hono();
app.get("/", (c) => c.text("the host's own page"));
app.route("/live", gateway.app); // the stream is at /live/ws

await gateway.start();
const server = Bun.serve({
  port: Number(process.env.PORT ?? 3000),
  hostname: "127.0.0.1",
  fetch: app.fetch, // passes Bun's server on, which upgrading needs
  websocket: gateway.websocket,
});
process.stdout.write(`Listening on ${server.url}live/ws\n`);

process.once("SIGTERM", async () => {
  await gateway.stop(5000);
  await server.stop(true);
});
