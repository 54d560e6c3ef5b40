import { expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { createGateway } from "../../src/mod.ts";
import { idleSeconds } from "../../src/runtime/bun.ts";
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

test("An event stream may be quiet for longer than idleTimeout of a host's server, and ends with its connection", async () => {
  const gateway = await createGateway({ ping_interval: "10m", read_timeout: "20m" });
  await gateway.start();
  const { fetch } = gateway.app;
  const host = { hostname: "127.0.0.1", port: 0, idleTimeout: IDLE_SECONDS };
  const server = Bun.serve({ ...host, fetch: (request, env) => fetch(request, env as never) });
  const port = server.port!;
  const stream = ask(port, "/ws/sse?subjects=a.>");
  await until(
    "stream",
    async () => stream.answer(),
    (text) => text.includes("retry: "),
  );
  // Others show when it would have ended, too.
  for (let n = 0; n < 2; n++) {
    const other = ask(port, "/livez");
    await until("end of a quiet connection", async () => other.socket.closed, Boolean);
    expect(other.answer()).toContain(" 200 ");
  }
  gateway.publish("a.b", '"late"');
  await until(
    "message",
    async () => stream.answer(),
    (text) => text.includes("late"),
  );
  expect(stream.socket.closed).toBe(false);
  await gateway.stop();
  await until("end of the stream", async () => stream.socket.closed, Boolean);
  await server.stop(true);
});

test("A connection waits for its next request for as long as proxies use it again, and for a body as request_timeout says", () => {
  expect(idleSeconds(30_000)).toEqual({ first: 30, later: 75 });
  expect(idleSeconds(110_000)).toEqual({ first: 110, later: 115 });
  expect(idleSeconds(3_600_000)).toEqual({ first: 255, later: 255 });
});
