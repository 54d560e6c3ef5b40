/** A host whose hook says which client is of which account. `accounts-runtimes.test.ts` runs it on each runtime. */
import process from "node:process";
import { connect } from "nats";
import { createGateway, type GatewayStats } from "../../src/mod.ts";
import { until, within } from "../support/event-log.ts";

const { MAIN_URL = "", ACME_URL = "" } = process.env;
const NAMES = ["main", "acme"] as const;

const gateway = await createGateway(
  {
    nats_url: MAIN_URL,
    subjects: ["program.>"],
    accounts: [{ name: "acme", nats_url: ACME_URL }],
  },
  {
    log: { debug() {}, info() {}, warn() {}, error() {} },
    authorize: ({ credentials }) => {
      const account = credentials.kind === "token" ? credentials.token : "";
      const entry = { type: "spillway", actions: ["subscribe", "publish"] };
      const subjects = { allow: ["program.>"] };
      const named = account === "main" ? {} : { account };
      return { sub: "ann", authorization_details: [{ ...entry, ...named, subjects }] };
    },
  },
);
const publishers = {
  main: await connect({ servers: MAIN_URL }),
  acme: await connect({ servers: ACME_URL }),
};

const ask = async (path: string, token: string, init: RequestInit = {}): Promise<Response> => {
  const headers = { Authorization: `Bearer ${token}` };
  return await gateway.app.request(`http://localhost${path}`, { ...init, headers });
};

/** Returns the payload of the first message of a stream of events, and ends the stream. */
async function firstPayload(response: Response): Promise<unknown> {
  let text = "";
  for await (const bytes of response.body!.pipeThrough(new TextDecoderStream() as never)) {
    text += bytes;
    const [, data] = /^data: (\{"type":"data".*\})$/m.exec(text) ?? [];
    if (data !== undefined) return JSON.parse(data).payload;
  }
  return text;
}

async function untilStats(fits: (stats: GatewayStats) => boolean): Promise<void> {
  await until("fitting stats", async () => gateway.stats(), fits);
}

function tell(name: string, fact: unknown): void {
  process.stdout.write(`${JSON.stringify({ name, fact })}\n`);
}

for (const run of [1, 2]) {
  await gateway.start();
  await untilStats(({ source }) => source.status.state === "connected");
  const streams = await Promise.all(NAMES.map((name) => ask("/ws/sse", name)));
  await untilStats(({ upstream }) => upstream.pending === 0);
  for (const name of NAMES) {
    publishers[name].publish("program.x", JSON.stringify(`${name} ${run}`));
    await publishers[name].flush();
  }
  const payloads = Promise.all(streams.map(firstPayload));
  tell("heard", await within(payloads, "message in each account"));
  const heard = publishers.acme.subscribe("program.posted", { max: 1 });
  await publishers.acme.flush();
  const init = { method: "POST", body: "1" };
  const posted = await Promise.all(NAMES.map((name) => ask("/publish/program.posted", name, init)));
  tell(
    "posted",
    posted.map(({ status }) => status),
  );
  for await (const { subject } of heard) tell("heard in the account", subject);
  tell("of an unknown account", (await ask("/ws/sse", "globex")).status);
  tell("open", Object.keys(gateway.stats().accounts));
  await gateway.stop();
  tell("open after the stop", Object.keys(gateway.stats().accounts));
}
for (const connection of Object.values(publishers)) await connection.close();
