/** An event stream in a Bun server whose `idleTimeout` is shorter than its silence, told line by line; run by `bun.test.ts`. */
import { connect, type Socket } from "node:net";
import process from "node:process";
import { createGateway } from "../../src/mod.ts";
import { until } from "../support/event-log.ts";

/** The least after which Bun certainly ends a quiet connection in a few seconds. */
const IDLE_SECONDS = 4;

/** Asks for a path, and keeps the connection. */
function ask(port: number, path: string): { socket: Socket; answer: () => string } {
  let answer = "";
  const socket = connect({ host: "127.0.0.1", port });
  socket
    .on("error", () => {})
    .on("data", (chunk) => {
      answer += String(chunk);
    });
  socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`);
  return { socket, answer: () => answer };
}

function tell(name: string, fact: unknown): void {
  process.stdout.write(`${JSON.stringify({ name, fact })}\n`);
}

const gateway = await createGateway({ ping_interval: "10m", read_timeout: "20m" });
await gateway.start();
const { fetch } = gateway.app;
const host = { hostname: "127.0.0.1", port: 0, idleTimeout: IDLE_SECONDS };
const server = Bun.serve({ ...host, fetch: (request, env) => fetch(request, env as never) });
const port = server.port!;
const stream = ask(port, "/ws/sse?subjects=a.>");
const has = (text: string) =>
  until(
    text,
    async () => stream.answer(),
    (all) => all.includes(text),
  );
await has("retry: ");
// Others show when it would have ended, too.
for (let n = 0; n < 2; n++) {
  const other = ask(port, "/livez");
  await until("end of a quiet connection", async () => other.socket.closed, Boolean);
  tell("a quiet connection had its answer", other.answer().includes(" 200 "));
}
gateway.publish("a.b", '"late"');
await has("late");
tell("the stream has ended", stream.socket.closed);
await gateway.stop();
await until("end of the stream", async () => stream.socket.closed, Boolean);
tell("the stream has ended with its gateway", true);
await server.stop(true);
