/** The example for Cloudflare Workers with the packed package, as its README says: built and served by wrangler itself. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { installedFile } from "../../scripts/installed.ts";
import type { RunningProcess } from "../support/child-process.ts";
import { until } from "../support/event-log.ts";
import { freePort } from "../support/free-port.ts";
import { connectLasting, flushed } from "../support/nats-connection.ts";
import { startNatsServer } from "../support/nats-server.ts";
import { connect } from "../support/subscriber.ts";
import { INSTALL_DEADLINE_MS, Machines, pack } from "./environment.ts";

setDefaultTimeout(2 * INSTALL_DEADLINE_MS);

/** The largest Worker of the free plan, compressed (https://developers.cloudflare.com/workers/platform/limits/#worker-size). */
const LARGEST_KIB = 3 * 1024;

/** Asks nobody outside this machine. */
const OFFLINE = "WRANGLER_SEND_METRICS=false CLOUDFLARE_CF_FETCH_ENABLED=false";
const wrangler = (words: string): string =>
  `env ${OFFLINE} node ${installedFile("wrangler/bin/wrangler.js")} ${words}`;

const machines = new Machines();
const machine = () => machines.on("Node 22");
/** The folder of the example, as a project of its own. */
let project: string;

beforeAll(async () => {
  await machines.create();
  const { tarball, registry } = await pack(machine());
  project = machine().folder("worker");
  await machine().run(project, `npm install ${tarball}`);
  await registry.stop();
  const example = join(project, "node_modules/spillway/examples/cloudflare");
  cpSync(example, project, { recursive: true });
});
afterAll(() => machines.remove());

test("wrangler deploy takes the example without a warning, and it fits into the free plan", async () => {
  const output = await machine().run(project, wrangler("deploy --dry-run --outdir out"));
  expect(output).not.toMatch(/warn|error/i);
  expect(output).toMatch(/env\.GATEWAYS \(SpillwayObject\) +Durable Object/);
  const [, size] = /gzip: ([\d.]+) KiB/.exec(output) ?? [];
  expect(Number(size)).toBeLessThan(LARGEST_KIB);
  expect(Number(size)).toBeGreaterThan(0);
});

test("wrangler dev serves messages of a NATS on this machine", async () => {
  const nats = await startNatsServer();
  const port = await freePort();
  const variable = `--var SPILLWAY_NATS_URL:${nats.wsUrl}`;
  const command = wrangler(`dev --ip 127.0.0.1 --port ${port} ${variable}`);
  const running: RunningProcess = await machine().start(project, command, true);
  try {
    await running.lines.find(({ text }) => text.includes("Ready on"), "Ready", INSTALL_DEADLINE_MS);
    const ready = async () => (await fetch(`http://127.0.0.1:${port}/readyz`)).status;
    await until("200 from /readyz", ready, (status) => status === 200);
    const client = await connect(`ws://127.0.0.1:${port}/ws`);
    const publisher = await connectLasting(nats.url);
    const publishing = setInterval(() => publisher.publish("orders.1", '{"n":1}'), 20);
    expect(await client.next()).toMatchObject({ subject: "orders.1", payload: { n: 1 } });
    clearInterval(publishing);
    await flushed(publisher);
    await publisher.close();
    await client.close();
  } finally {
    await running.stop();
    await nats.stop();
  }
});
