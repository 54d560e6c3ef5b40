/** A host that mounts a gateway. It prints one line for each fact; `mount.test.ts` runs it on each runtime. */
import process from "node:process";
import { Hono } from "hono";
import type { BunWebSocketHandler } from "../../src/bun.ts";
import { type ClientInfo, createGateway, type SpillwayError } from "../../src/mod.ts";
import type { NodeWebSocketOption } from "../../src/node.ts";

interface Served {
  readonly port: number;
  stop(): Promise<void>;
}

const connected: ClientInfo[] = [];
const disconnected: [ClientInfo, string][] = [];
const failures: unknown[] = [];
const gateway = await createGateway(
  { subjects: ["program.>"] },
  {
    log: {
      debug() {},
      info() {},
      warn() {},
      error: (_, properties) => failures.push(properties?.reason),
    },
    onConnect: (client) => {
      connected.push(client);
      if (connected.length === 1) throw new Error("a hook that throws");
    },
    onDisconnect: async (client, { reason }) => {
      disconnected.push([client, reason]);
      throw new Error("a hook that rejects");
    },
  },
);
const app = new Hono().route("/live", gateway.app);

/** Serves the app as the host of this runtime does. */
async function serve(): Promise<Served> {
  if ("Bun" in globalThis) {
    const { fetch } = app;
    const server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch,
      websocket: gateway.websocket as BunWebSocketHandler,
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
    const options = {
      port: 0,
      hostname: "127.0.0.1",
      fetch,
      websocket: gateway.websocket as NodeWebSocketOption,
    };
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

const last = await listen(again);
gateway.publish("program.y", "3");
tell("heard from the host's own publish", await last.heard);
const { clients, messages, ledger, source } = gateway.stats();
tell("stats", [
  clients.connected,
  clients.total,
  messages.received,
  ledger.sent,
  source.status.state,
]);

await gateway.stop(5000);
tell("closed with", [await other.closed, await late.closed, await latest.closed]);
await Promise.all([second.stop(), again.stop()]);
tell(
  "told of connections",
  connected.map(({ id, address, dialect }) => `${id} ${address.endsWith("127.0.0.1")} ${dialect}`),
);
tell("told of their ends", disconnected.map(([{ id }, reason]) => `${id} ${reason}`).sort());
tell("failed hooks that were logged", failures);
try {
  gateway.publish("program.y", "4");
} catch (error) {
  tell("publish when stopped", [(error as SpillwayError).code, (error as Error).message]);
}
