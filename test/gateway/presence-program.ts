/** Two gateways of a host, which know each other's clients. `presence-runtimes.test.ts` runs it on each runtime. */
import process from "node:process";
import { connect } from "nats";
import { createGateway, type Gateway } from "../../src/mod.ts";
import { until } from "../support/event-log.ts";

const { NATS_URL = "" } = process.env;

const connection = await connect({ servers: NATS_URL });
const bucket = await connection.jetstream().views.kv("presence", { history: 1, ttl: 600_000 });

async function make(presence_bucket?: string): Promise<Gateway> {
  const config = { nats_url: NATS_URL, subjects: ["program.>"] };
  return await createGateway(
    { ...config, ...(presence_bucket && { presence_bucket, presence_grace: "0s" }) },
    {
      log: { debug() {}, info() {}, warn() {}, error() {} },
      authorize: ({ credentials }) => {
        if (credentials.kind !== "token") return undefined;
        const subjects = { allow: ["program.>"] };
        return { sub: credentials.token, authorization_details: [{ type: "spillway", subjects }] };
      },
    },
  );
}

/** Connects a client that reads, and returns what ends it. */
async function join(gateway: Gateway, token: string): Promise<() => Promise<void>> {
  const headers = { Authorization: `Bearer ${token}` };
  const response = await gateway.app.request("http://localhost/ws/sse", { headers });
  if (!response.ok) throw new Error(await response.text());
  const reader = response.body!.getReader();
  const readAll = async (): Promise<void> => {
    while (!(await reader.read()).done) {}
  };
  void readAll();
  return async () => await reader.cancel();
}

async function untilPresent(gateway: Gateway, connections: number): Promise<unknown> {
  return await until(
    `${connections} connections`,
    async () => gateway.stats().presence,
    (presence) => presence?.connections === connections && !presence.stale,
  );
}

async function keys(): Promise<number> {
  let count = 0;
  for await (const _ of await bucket.keys()) count++;
  return count;
}

function tell(name: string, fact: unknown): void {
  process.stdout.write(`${JSON.stringify({ name, fact })}\n`);
}

const [one, two] = [await make("presence"), await make("presence")];
const off = await make();
await off.start();
tell("off", off.stats().presence ?? "off");
await off.stop();
await one.start();
for (const run of [1, 2]) {
  await two.start();
  await untilPresent(two, run - 1);
  const leave = await join(two, "ann");
  await join(one, `bob-${run}`);
  tell("two", await untilPresent(two, run + 1));
  tell("one", await untilPresent(one, run + 1));
  await leave();
  await untilPresent(one, run);
  await join(two, "eve");
  await untilPresent(one, run + 1);
  await two.stop();
  tell("one after the stop", await untilPresent(one, run));
}
await one.stop();
tell("keys", await keys());
await connection.close();
