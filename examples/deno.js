// Spillway inside your own Deno server.
// Try it: `deno run --allow-net --allow-env --allow-read --allow-sys=systemMemoryInfo examples/deno.js`
import process from "node:process";
import { Hono } from "hono";
import { createGateway } from "spillway/deno"; // in your project: "npm:spillway/deno"

const gateway = await createGateway({
  subjects: ["orders.>"],
  ...(process.env.NATS_URL && { nats_url: process.env.NATS_URL }),
});

const app = new Hono();
app.get("/", (c) => c.text("the host's own page"));
app.route("/live", gateway.app); // the stream is at /live/ws

await gateway.start();
const server = Deno.serve(
  {
    port: Number(process.env.PORT ?? 3000),
    hostname: "127.0.0.1",
    onListen: ({ port }) => {
      process.stdout.write(`Listening on http://127.0.0.1:${port}/live/ws\n`);
    },
  },
  app.fetch,
);

process.once("SIGTERM", async () => {
  await gateway.stop(5000);
  await server.shutdown();
});
