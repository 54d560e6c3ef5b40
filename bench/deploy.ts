/**
 * `bun run bench/deploy.ts`: 2,000 clients are on two gateways behind a load balancer, and one gateway is replaced. Counts the
 * handshakes that the other one gets in each half second, with a drain and without, checks that each client has each
 * message or a gap for it, and draws `docs/deploy.svg`.
 */
import { writeFileSync } from "node:fs";
import { createServer, connect as dial, type Socket } from "node:net";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectNats } from "nats";
import { ensureNatsServer } from "../scripts/install-nats-server.ts";
import { type Connection, connect } from "../src/client/mod.ts";
import { until } from "../test/support/event-log.ts";
import { type Gateway, startGateway } from "../test/support/gateway-process.ts";
import { startNatsServer } from "../test/support/nats-server.ts";
import { ROOT, TARGETS } from "../test/support/runtimes.ts";
import { allowManyFiles } from "./machine.ts";
import { type Deploy, drawDeploys } from "./plots.ts";

const CLIENTS = 2_000;
const CONNECTS_AT_ONCE = 50;
const MESSAGES_PER_SECOND = 4;
const BEFORE_MS = 4_000;
const AFTER_MS = 20_000;
/** A machine takes some time to start another gateway. */
const REPLACED_AFTER_MS = 12_000;
const BIN_MS = 500;
const ASK_MS = 200;
const DEPLOYS: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
  ["drain_window 10s (the default)", {}],
  ["drain_window 0s", { drain_window: "0s" }],
];

/** A TCP load balancer: a new connection goes to the ready gateway that has the fewest. */
class Balancer {
  readonly gateways = new Set<Gateway>();
  readonly handshakes: { readonly gateway: Gateway; readonly atMs: number }[] = [];
  readonly #open = new Map<Gateway, number>();
  readonly #ready = new Set<Gateway>();
  readonly #server = createServer((near) => this.#accept(near));
  readonly #asking = setInterval(() => void this.#ask(), ASK_MS);

  async listen(): Promise<number> {
    await new Promise<void>((done) => this.#server.listen(0, "127.0.0.1", done));
    return (this.#server.address() as { port: number }).port;
  }

  close(): void {
    clearInterval(this.#asking);
    this.#server.close();
  }

  connectionsOf(gateway: Gateway): number {
    return this.#open.get(gateway) ?? 0;
  }

  async #ask(): Promise<void> {
    for (const gateway of this.gateways) {
      const ready = await gateway.get("/readyz").catch(() => undefined);
      if (ready?.ok) this.#ready.add(gateway);
      else this.#ready.delete(gateway);
    }
  }

  #accept(near: Socket): void {
    const [gateway] = [...this.gateways]
      .filter((one) => this.#ready.has(one))
      .sort((one, other) => this.connectionsOf(one) - this.connectionsOf(other));
    near.on("error", () => {});
    if (gateway === undefined) {
      near.destroy();
      return;
    }
    this.#open.set(gateway, this.connectionsOf(gateway) + 1);
    this.handshakes.push({ gateway, atMs: performance.now() });
    const far = dial({ host: "127.0.0.1", port: gateway.port, noDelay: true });
    far.on("error", () => {});
    near.pipe(far).pipe(near);
    near.once("close", () => far.destroy());
    far.once("close", () => {
      this.#open.set(gateway, this.connectionsOf(gateway) - 1);
      near.destroy();
    });
  }
}

/** A client of the SDK that accounts for the numbers in its messages. */
class CountingClient {
  readonly connection: Connection;
  last: number | undefined;
  declared = 0;
  undeclared = 0;

  constructor(url: string) {
    this.connection = connect(url);
  }

  async start(): Promise<void> {
    const messages = this.connection.subscribe<number>("deploy.n");
    // The loop ends with an error when the connection is closed.
    this.#read(messages).catch(() => {});
    await messages.ready;
  }

  async #read(messages: ReturnType<typeof this.connection.subscribe<number>>): Promise<void> {
    let missed = 0;
    for await (const item of messages) {
      if (item.type === "gap") missed += item.count;
      if (item.type !== "data") continue;
      const missing = item.payload - (this.last ?? item.payload - 1) - 1;
      this.declared += Math.min(missing, missed);
      this.undeclared += Math.abs(missing - missed);
      missed = 0;
      this.last = item.payload;
    }
  }
}

async function replaceOne(
  name: string,
  settings: Readonly<Record<string, unknown>>,
): Promise<Deploy> {
  const nats = await startNatsServer({ jetstream: true, websocket: false });
  const connection = await connectNats({ servers: nats.url });
  await (await connection.jetstreamManager()).streams.add({
    name: "DEPLOY",
    subjects: ["deploy.>"],
  });
  const config = { nats_url: nats.url, streams: ["DEPLOY"], ...settings };
  const balancer = new Balancer();
  const url = `ws://127.0.0.1:${await balancer.listen()}/ws`;
  const [stays, leaves] = [
    await startGateway(TARGETS.node, { config }),
    await startGateway(TARGETS.node, { config }),
  ];
  balancer.gateways.add(stays).add(leaves);
  await sleep(2 * ASK_MS);
  const clients: CountingClient[] = [];
  while (clients.length < CLIENTS) {
    const few = Array.from({ length: CONNECTS_AT_ONCE }, () => new CountingClient(url));
    await Promise.all(few.map((client) => client.start()));
    clients.push(...few);
  }
  let published = 0;
  const publishing = setInterval(
    () => connection.publish("deploy.n", `${published++}`),
    1000 / MESSAGES_PER_SECOND,
  );
  await sleep(BEFORE_MS);
  const beganMs = performance.now();
  balancer.handshakes.length = 0;
  leaves.signal("SIGTERM");
  const left = leaves.exited.then(() => {
    balancer.gateways.delete(leaves);
    return performance.now() - beganMs;
  });
  await sleep(REPLACED_AFTER_MS);
  balancer.gateways.add(await startGateway(TARGETS.node, { config }));
  await sleep(AFTER_MS - REPLACED_AFTER_MS);
  clearInterval(publishing);
  await until(
    "last message at each client",
    async () => clients.filter(({ last }) => last !== published - 1).length,
    (behind) => behind === 0,
  );
  const bins = new Array<number>(AFTER_MS / BIN_MS).fill(0);
  for (const { gateway, atMs } of balancer.handshakes) {
    const bin = Math.floor((atMs - beganMs) / BIN_MS);
    if (gateway === stays && bin < bins.length) bins[bin]!++;
  }
  const sum = (of: (client: CountingClient) => number) =>
    clients.reduce((total, client) => total + of(client), 0);
  const deploy = {
    name,
    perSecond: bins.map((count, bin) => [(bin * BIN_MS) / 1000, (count * 1000) / BIN_MS] as const),
    endedAfterS: (await left) / 1000,
    published,
    declared: sum(({ declared }) => declared),
    undeclared: sum(({ undeclared }) => undeclared),
  };
  await Promise.all(clients.map(({ connection }) => connection.close()));
  balancer.close();
  await Promise.all([...balancer.gateways].map((gateway) => gateway.stop()));
  await connection.close();
  await nats.stop();
  return deploy;
}

await ensureNatsServer();
allowManyFiles();
const deploys: Deploy[] = [];
for (const [name, settings] of DEPLOYS) {
  const deploy = await replaceOne(name, settings);
  const { perSecond, ...rest } = deploy;
  const most = Math.max(...perSecond.map(([, rate]) => rate));
  process.stdout.write(`${JSON.stringify({ ...rest, mostHandshakesPerSecond: most })}\n`);
  deploys.push(deploy);
}
writeFileSync(`${ROOT}docs/deploy.svg`, drawDeploys(deploys));
process.exit(deploys.every(({ undeclared }) => undeclared === 0) ? 0 : 1);
