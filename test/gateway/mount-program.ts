/** What a host does with a mounted gateway, told line by line; run by `mount.test.ts` on each runtime. */
import process from "node:process";
import { Hono } from "hono";
import { createGateway } from "../../src/mod.ts";

interface Served {
  readonly port: number;
  stop(): Promise<void>;
}

const gateway = await createGateway({ subjects: ["program.>"] });
const app = new Hono().route("/live", gateway.app);

/** Serves the app as the host of this runtime does. */
async function serve(): Promise<Served> {
  if ("Bun" in globalThis) {
    const { fetch } = app;
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch,
      websocket: gateway.websocket,
    });
    return { port: server.port ?? 0, stop: () => server.stop(true) };
  }
  if ("Deno" in globalThis) {
    const { Deno } = globalThis as unknown as {
      Deno: {
        serve(
          options: object,
          fetch: unknown,
        ): { addr: { port: number }; shutdown(): Promise<void> };
      };
    };
    const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, app.fetch);
    return { port: server.addr.port, stop: () => server.shutdown() };
  }
  const node = await import("@hono/node-server");
  return await new Promise((resolve) => {
    const { fetch } = app;
    const options = { port: 0, hostname: "127.0.0.1", fetch, websocket: gateway.websocket };
    const server = node.serve(options, ({ port }) => {
      const stop = (): Promise<void> => new Promise((done) => server.close(() => done()));
      resolve({ port, stop });
    });
  });
}

/** Connects; `heard` resolves with the first payload, `closed` with the close code. */
async function listen({ port }: Served) {
  const ws = new WebSocket(`ws://127.0.0.1:${port}/live/ws`);
  const heard = new Promise((resolve) => {
    ws.onmessage = ({ data }) => resolve(JSON.parse(String(data)).payload);
  });
  const closed = new Promise((resolve) => {
    ws.onclose = ({ code }) => resolve(code);
  });
  await new Promise((resolve, reject) => {
    ws.onopen = resolve;
    ws.onerror = () => reject(new Error("no connection"));
  });
  return { ws, heard, closed };
}

const publish = (payload: string, { port }: Served): Promise<Response> =>
  fetch(`http://127.0.0.1:${port}/live/publish/program.x`, { method: "POST", body: payload });
const tell = (name: string, fact: unknown): void =>
  void process.stdout.write(`${JSON.stringify({ name, fact })}\n`);

await gateway.start();
const [first, second] = [await serve(), await serve()];
const [one, other] = [await listen(first), await listen(second)];
tell("published on one of two servers", (await publish("1", first)).status);
tell("heard on both", [await one.heard, await other.heard]);

one.ws.close();
await one.closed;
await first.stop();
const late = await listen(second);
const again = await serve();
const latest = await listen(again);
await publish("2", again);
tell("heard when one server has closed, and on a new one", [await late.heard, await latest.heard]);

await gateway.stop(5000);
tell("closed with", [await other.closed, await late.closed, await latest.closed]);
await Promise.all([second.stop(), again.stop()]);
