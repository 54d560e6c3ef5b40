import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { connect, type NatsConnection } from "nats";
import { startProcess } from "../support/child-process.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { ROOT, TARGETS } from "../support/runtimes.ts";
import { connect as subscribe } from "../support/subscriber.ts";

let server: NatsServer;
let nats: NatsConnection;
beforeAll(async () => {
  server = await startNatsServer();
  nats = await connect({ servers: server.url });
});
afterAll(async () => {
  await nats.close();
  await server.stop();
});

describe.each([
  ["bun", "bun.js"],
  ["deno", "deno.js"],
  ["node22", "node.js"],
  ["node", "node.js"],
] as const)("Example on %s", (name, file) => {
  test("carries NATS inside a host's own app, which keeps its own page", async () => {
    const command = TARGETS[name]
      .command()
      .map((word) => (word === "src/server.ts" ? `examples/${file}` : word));
    const environment = { PATH: process.env.PATH ?? "", NATS_URL: server.url, PORT: "0" };
    const host = await startProcess(name, command, { cwd: ROOT, env: environment });
    const { text } = await host.lines.find(
      ({ text }) => text.startsWith("Listening"),
      "line that says where it listens",
    );
    const url = new URL(text.replace("Listening on ", ""));

    expect(await (await fetch(url.origin)).text()).toBe("the host's own page");
    expect((await fetch(`${url.origin}/live/livez`)).status).toBe(200);
    expect(await (await fetch(`${url.origin}/live`)).text()).toStartWith("<!doctype html>");

    const subscriber = await subscribe(`ws://${url.host}${url.pathname}`);
    // The subscription in NATS may come after the port is open.
    const publishing = setInterval(() => nats.publish("orders.1", '{"n":1}'), 20);
    const message = await subscriber.next();
    clearInterval(publishing);
    expect(message).toMatchObject({ subject: "orders.1", payload: { n: 1 } });

    const ended = await host.stop();
    expect((await subscriber.closed()).code).toBe(1001);
    expect(ended).toEqual({ code: 0, signal: null });
  });
});
