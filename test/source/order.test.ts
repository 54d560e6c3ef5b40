import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { connect, type NatsConnection } from "nats";
import { NatsSource } from "../../src/source/nats.ts";
import { EventLog } from "../support/event-log.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";

/** What a source says, of whatever kind, in its order. */
const LOG = { debug() {}, info() {}, warn() {}, error() {} };

let server: NatsServer;
let publisher: NatsConnection;
let proxy: TcpProxy;
let source: NatsSource | undefined;
const users = join(tmpdir(), `spillway-order-${process.pid}.conf`);

/** Whether the reader may have `closed.>`. */
async function permit(closed: boolean): Promise<void> {
  const allow = JSON.stringify(["order.>", "_INBOX.>", ...(closed ? ["closed.>"] : [])]);
  await writeFile(
    users,
    `authorization { users: [
      { user: admin, password: admin }
      { user: reader, password: pass, permissions: { subscribe: { allow: ${allow} } } }
    ] }`,
  );
}

beforeAll(async () => {
  await permit(true);
  server = await startNatsServer({ config: `include "../${basename(users)}"` });
  publisher = await connect({ servers: server.url, user: "admin", pass: "admin" });
});
afterEach(async () => {
  await source?.stop(1000);
  await proxy?.close();
});
afterAll(async () => {
  await publisher?.close();
  await server?.stop();
});

async function start(
  patterns: readonly string[],
  holdsConfirmations = false,
): Promise<EventLog<string>> {
  proxy = await startTcpProxy(server.port);
  if (holdsConfirmations) proxy.holdConfirmations();
  const servers = [`nats://reader:pass@127.0.0.1:${proxy.port}`];
  source = new NatsSource({ log: LOG, nats: { options: { servers, name: "test" } } });
  for (const pattern of patterns) source.subscribe(pattern);
  const said = new EventLog<string>("source");
  source.start({
    message: ({ subject, data }) => said.add(`${subject} ${new TextDecoder().decode(data)}`),
    status: ({ state }) => said.add(state),
    arrives: (pattern) => said.add(`arrives ${pattern}`),
    refused: (pattern) => said.add(`refused ${pattern}`),
    stream() {},
    streamRefused() {},
    fault() {},
  });
  return said;
}

/** Publishes until the source is seen to have subscribed, so that some came before it was confirmed. */
async function publishUntilTaken(subject: string, count: number): Promise<void> {
  let n = 0;
  while (n < count) {
    try {
      // Whoever subscribes answers by nothing; without anybody there is no responder.
      await publisher.request(subject, "?", { timeout: 500 });
    } catch (error) {
      if ((error as { code?: string }).code === "503") continue;
      n++;
    }
  }
  await publisher.flush();
}

describe("What comes before NATS has confirmed a subscription", () => {
  test.each(["at first", "after a cut"])("follows word of the connection, %s", async (when) => {
    const said = await start(["order.a", "order.b"], when === "at first");
    if (when === "after a cut") {
      await said.find((one) => one === "arrives order.b");
      proxy.cut();
      await said.find((one) => one.startsWith("connecting") && said.entries.includes("connected"));
      proxy.mend();
      proxy.holdConfirmations();
    }
    const before = said.entries.length;
    await publishUntilTaken("order.a", 3);
    publisher.publish("order.b", "?");
    await publisher.flush();
    expect(said.entries.slice(before).filter((one) => one.startsWith("order"))).toEqual([]);
    proxy.mend();
    await said.find((one) => one === "order.b ?");
    const seen = said.entries.slice(before).filter((one) => one !== "connecting");
    expect(seen.slice(0, 3)).toEqual(["connected", "arrives order.a", "arrives order.b"]);
    expect(seen.slice(3).filter((one) => one !== "order.a ?")).toEqual(["order.b ?"]);
    expect(seen.length).toBeGreaterThan(4);
  });

  test("follows word of its arrival, where the pattern was refused until then", async () => {
    await permit(true);
    const said = await start(["order.a", "closed.a"]);
    await said.find((one) => one === "arrives closed.a");
    await permit(false);
    process.kill(server.pid, "SIGHUP");
    await said.find((one) => one === "refused closed.a");
    proxy.holdConfirmations();
    await permit(true);
    process.kill(server.pid, "SIGHUP");
    await publishUntilTaken("closed.a", 1);
    await said.find((one) => one === "closed.a ?");
    const at = said.entries.indexOf("closed.a ?");
    expect(said.entries.slice(0, at).lastIndexOf("arrives closed.a")).toBe(at - 1);
    proxy.mend();
  });
});
