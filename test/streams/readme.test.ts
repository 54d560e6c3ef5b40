/** The README's way to JetStream, as it is printed there. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect, type NatsConnection } from "nats";
import { ROOT } from "../../scripts/installed.ts";
import { untilReady } from "../contract/support/gateway-fixture.ts";
import { openEvents } from "../support/event-source.ts";
import { type Gateway, startGateway } from "../support/gateway-process.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { TARGETS } from "../support/runtimes.ts";

const readme = readFileSync(`${ROOT}README.md`, "utf8");
const start = readme.indexOf("### Never miss a message");
const section = readme.slice(start, readme.indexOf("StreamKit's `ports.inputs`", start));
const blocks = (language: string): string[] =>
  Array.from(
    section.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, "g")),
    ([, text]) => text!,
  );

/** The words of each line, as a shell has them, its comment left out. */
const commands = blocks("sh")
  .flatMap((text) => text.trim().split("\n"))
  .map((line) =>
    Array.from(line.matchAll(/'([^']*)'|(\S+)/g), ([, quoted, bare]) => quoted ?? bare!).slice(
      0,
      line.includes(" #")
        ? line.slice(0, line.indexOf(" #")).trim().split(/\s+/).length
        : undefined,
    ),
  );

let nats: NatsServer;
let connection: NatsConnection;
let gateway: Gateway | undefined;

beforeAll(async () => {
  nats = await startNatsServer({ jetstream: true });
  connection = await connect({ servers: nats.url });
});
afterAll(async () => {
  await gateway?.stop();
  await connection?.close();
  await nats?.stop();
});

/** What the `nats` command does, of which the README needs this much. */
async function run(command: readonly string[]): Promise<void> {
  const [, what, ...rest] = command;
  const stream = connection.jetstream();
  const said = [what, ...rest].join(" ");
  if (/^stream add \S+ --subjects \S+ --defaults$/.test(said)) {
    const manager = await connection.jetstreamManager();
    await manager.streams.add({ name: rest[1]!, subjects: [rest[3]!] });
  } else if (/^kv add \S+$/.test(said)) await stream.views.kv(rest[1]!);
  else if (what === "kv" && rest[0] === "put" && rest.length === 4) {
    await (await stream.views.kv(rest[1]!)).put(rest[2]!, rest[3]!);
  } else if (what === "pub" && rest.length === 2) {
    connection.publish(rest[0]!, rest[1]);
    await connection.flush();
  } else throw new Error(`not known here: nats ${said}`);
}

test("README's way to JetStream works as printed", async () => {
  const [config, ...others] = blocks("json");
  expect(others).toEqual([]);
  const names = commands.map(([name]) => name);
  expect(names).toEqual(["nats-server", "nats", "nats", "npm", "nats", "nats", "curl", "curl"]);
  expect(commands[0]).toEqual(["nats-server", "-js"]);
  expect(commands[3]).toEqual(["npm", "start", "--", "--config", "spillway.json"]);

  for (const command of commands.slice(1, 3)) await run(command);
  expect(config).toContain("nats://localhost:4222");
  gateway = await startGateway(TARGETS.bun, {
    config: config!.replace("nats://localhost:4222", nats.url),
  });
  await untilReady(gateway);
  for (const command of commands.slice(4, 6)) await run(command);

  for (const [index, expected] of [
    { subject: "orders.eu.17", payload: { n: 1 } },
    { subject: "$KV.settings.color", payload: "red" },
  ].entries()) {
    const [curl, unbuffered, url = ""] = commands[6 + index]!;
    expect([curl, unbuffered]).toEqual(["curl", "-N"]);
    expect(url).toStartWith("http://localhost:8080/");
    const events = await openEvents(url.replace("http://localhost:8080", gateway.url));
    const { data } = await events.next("message");
    expect(JSON.parse(data)).toMatchObject(expected);
    events.destroy();
  }
});
