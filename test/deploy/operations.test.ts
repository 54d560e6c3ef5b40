/** The walk of docs/operations.md, from the first deployment to a rollback: each of its commands runs, in order. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectNats, type NatsConnection } from "nats";
import { type Connection, connect } from "../../src/client/mod.ts";
import { startProcess } from "../support/child-process.ts";
import { until } from "../support/event-log.ts";
import { freePort } from "../support/free-port.ts";
import { cleanEnvironment } from "../support/gateway-process.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { ROOT, TARGETS } from "../support/runtimes.ts";

setDefaultTimeout(180_000);

const PAGE = readFileSync(`${ROOT}docs/operations.md`, "utf8");

/** The blocks of code below a heading, without those of the next one. */
function blocks(heading: string, language = "sh"): string[] {
  const [, section = ""] = PAGE.split(`\n## ${heading}\n`);
  const [own = ""] = section.split("\n## ");
  const found = own.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "gms"));
  return Array.from(found, ([, code = ""]) => code);
}

/** A machine of the walk: a folder with the configuration, and ports of its own. */
interface Machine {
  readonly folder: string;
  readonly port: number;
  readonly adminPort: number;
}

let directory: string;
let nats: NatsServer;
let publisher: NatsConnection;
let first: Machine;
let second: Machine;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "spillway-operations-"));
  nats = await startNatsServer({ jetstream: true });
  publisher = await connectNats({ servers: nats.url });
  const manager = await publisher.jetstreamManager();
  await manager.streams.add({ name: "ORDERS", subjects: ["orders.>"] });
  const [runtime = "", ...args] = TARGETS.bun.command();
  const words = [runtime, ...args.map((arg) => arg.replace(/^src\//, `${ROOT}src/`))];
  const program = join(directory, "spillway");
  writeFileSync(program, `#!/bin/sh\nexec ${words.map((word) => `'${word}'`).join(" ")} "$@"\n`);
  chmodSync(program, 0o755);
  [first, second] = [await machine("first"), await machine("second")];
});
afterAll(async () => {
  for (const { folder } of [first, second]) await run({ folder, port: 0, adminPort: 0 }, STOP);
  await publisher.close();
  await nats.stop();
  rmSync(directory, { recursive: true });
});

/** Ends the gateway that the walk leaves. */
const STOP = 'kill "$(cat gateway.pid)" 2> /dev/null; true';

async function machine(name: string): Promise<Machine> {
  const folder = join(directory, name);
  mkdirSync(folder);
  const made = { folder, port: await freePort(), adminPort: await freePort() };
  const [config = ""] = blocks("First deployment", "json");
  const here = { ...JSON.parse(config), nats_url: nats.url, port: made.port };
  const json = { ...here, admin_port: made.adminPort, drain_window: "200ms" };
  writeFileSync(join(folder, "spillway.json"), JSON.stringify(json));
  return made;
}

/** Runs a block on a machine, with its ports, until it has ended. */
async function run({ folder, port, adminPort }: Machine, block: string) {
  const script = block
    .replaceAll("localhost:8080", `127.0.0.1:${port}`)
    .replaceAll("localhost:9090", `127.0.0.1:${adminPort}`)
    .replaceAll("nats://localhost:4222", nats.url)
    // The gateway outlives the block, and its errors are none of the block's.
    .replaceAll(/^(spillway serve .*) &$/gm, "nohup $1 2>&1 < /dev/null &\necho $! > gateway.pid");
  const running = await startProcess("block", ["sh", "-c", script], {
    cwd: folder,
    env: { ...cleanEnvironment(), PATH: `${directory}:${process.env.PATH}` },
  });
  const { code } = await running.exited;
  return { code, said: running.lines.entries.map(({ text }) => text).join("\n") };
}

async function runAll(where: Machine, heading: string): Promise<string[]> {
  const said: string[] = [];
  for (const block of blocks(heading)) {
    const { code, said: text } = await run(where, block);
    expect({ block, code, text: code === 0 ? "" : text }).toEqual({ block, code: 0, text: "" });
    said.push(text);
  }
  expect(said.length).toBeGreaterThan(0);
  return said;
}

describe("The walk of docs/operations.md", () => {
  const numbers: number[] = [];
  const gaps: string[] = [];
  let connection: Connection | undefined;
  let reading: Promise<void> | undefined;
  let published = 0;

  const publish = async (): Promise<void> => {
    const msgID = String(published);
    const payload = JSON.stringify({ n: published++ });
    // The stream may not answer while NATS has just come back.
    await until(
      "message in the stream",
      () =>
        publisher
          .jetstream()
          .publish("orders.eu", payload, { msgID })
          .catch(() => undefined),
      (answer) => answer !== undefined,
    );
  };

  /** Follows the stream by way of whichever gateway is there, as behind a load balancer. */
  function follow(): void {
    let attempts = 0;
    const url = () => `ws://127.0.0.1:${[first, second][attempts++ % 2]!.port}/ws`;
    connection = connect(url);
    const orders = connection.subscribe<{ n?: number }>("orders.eu", { from: "all" });
    reading = (async () => {
      for await (const item of orders) {
        if (item.type === "data" && item.payload.n !== undefined) numbers.push(item.payload.n);
        if (item.type === "gap") gaps.push(item.reason);
      }
    })();
    // The loop ends with its connection, after the walk.
    reading.catch(() => {});
  }

  /** Everything published so far has arrived, once and in order. */
  async function expectAll(): Promise<void> {
    const expected = Array.from({ length: published }, (_, n) => n);
    await until(
      "all messages",
      async () => numbers.length,
      (length) => length >= published,
    );
    expect({ numbers, gaps }).toEqual({ numbers: expected, gaps: [] });
  }

  afterAll(async () => {
    await connection?.close();
    expect(await reading?.catch(({ code }) => code)).toBe("closed");
  });

  test("First deployment", async () => {
    await publish();
    const said = await runAll(first, "First deployment");
    expect(said[0]).toContain("NATS is connected to ");
    expect(said[2]).toMatch(/ orders\.eu \{"n":0\}\n/);
    expect(said[2]).toContain("ORDERS 0 behind");
    follow();
    await expectAll();
  });

  test("Upgrade", async () => {
    const pid = readFileSync(join(first.folder, "gateway.pid"), "utf8");
    const said = await runAll(first, "Upgrade");
    expect(said.at(-2)).toContain("The same settings");
    expect(said.at(-1)).toEndWith("ready");
    expect(readFileSync(join(first.folder, "gateway.pid"), "utf8")).not.toBe(pid);
    await publish();
    await expectAll();
  });

  test("Scale out", async () => {
    const said = await runAll(second, "Scale out");
    expect(said[0]).toContain("Spillway ");
    expect(said[1]).toContain("0 undeclared");
  });

  test("An incident", async () => {
    const [ask = "", look = ""] = blocks("An incident");
    await nats.stop();
    await until(
      "503 of /readyz",
      async () => (await fetch(`http://127.0.0.1:${first.adminPort}/readyz`)).status,
      (status) => status === 503,
    );
    const { said } = await run(first, ask);
    expect(said).toContain('{"ready":false,"reasons":["NATS is not connected');
    expect(said).toContain("NATS is not connected: ");
    expect(said).toContain("NATS not connected");
    expect(said).toContain('"event":"source_lost"');
    await nats.restart();
    await until(
      "200 of /readyz",
      async () => (await fetch(`http://127.0.0.1:${first.adminPort}/readyz`)).status,
      (status) => status === 200,
    );
    const after = await run(first, look);
    expect(after.code).toBe(0);
    expect(after.said).toContain(" orders.eu ");
    expect(after.said).toContain("4510 (slow consumer)");
    await publish();
    await expectAll();
  });

  test("Roll back", async () => {
    await runAll(first, "Roll back");
    await publish();
    await expectAll();
  });
});
