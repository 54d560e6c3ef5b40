/** The examples of programs that are clients, and of a flow file, behind real gateways. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { connect, type NatsConnection } from "nats";
import { untilReady } from "../contract/support/gateway-fixture.ts";
import { type RunningProcess, startProcess } from "../support/child-process.ts";
import { cleanEnvironment, type Gateway, startGateway } from "../support/gateway-process.ts";
import { type NatsServer, startNatsServer } from "../support/nats-server.ts";
import { ensureNode } from "../support/node-binary.ts";
import { findDeno, ROOT, TARGETS } from "../support/runtimes.ts";
import { StreamkitClient } from "../support/streamkit-client.ts";

setDefaultTimeout(180_000);

let server: NatsServer;
let nats: NatsConnection;
beforeAll(async () => {
  server = await startNatsServer({ jetstream: true });
  nats = await connect({ servers: server.url });
});
afterAll(async () => {
  await nats.close();
  await server.stop();
});

function configOf(file: string): string {
  return readFileSync(`${ROOT}examples/${file}`, "utf8").replace(
    "nats://localhost:4222",
    server.url,
  );
}

const saying = (program: RunningProcess, text: string) =>
  program.lines.find((line) => line.text.includes(text), `line with "${text}"`);

test("The worker on Node does each job, a failed one again, and none twice after it was killed", async () => {
  await (await nats.jetstreamManager()).streams.add({ name: "JOBS", subjects: ["jobs.>"] });
  const gateway = await startGateway(TARGETS.bun, {
    config: configOf("node-worker/spillway.json"),
  });
  await untilReady(gateway);
  const start = (workMs: string): Promise<RunningProcess> =>
    startProcess("worker.js", [ensureNode("node"), "examples/node-worker/worker.js"], {
      cwd: ROOT,
      env: { ...cleanEnvironment(), GATEWAY: gateway.wsUrl, WORK_MS: workMs },
    });
  const job = (name: string, more: object = {}) =>
    nats.jetstream().publish("jobs.mail", JSON.stringify({ name, ...more }));
  const acknowledged = async (seq: number): Promise<void> => {
    const { consumers } = await nats.jetstreamManager();
    for (;;) {
      const { ack_floor } = await consumers.info("JOBS", "spillway_worker");
      if (ack_floor.stream_seq >= seq) return;
    }
  };

  const first = await start("1");
  await job("one");
  await job("two", { fails: 1 });
  await saying(first, "Done: one");
  await saying(first, "Again: two");
  await saying(first, "Done: two");
  await acknowledged(2);
  expect(await first.stop()).toEqual({ code: 0, signal: null });

  // It never finishes the third one.
  const second = await start("1000000");
  await job("three");
  await saying(second, "Begun: three");
  second.signal("SIGKILL");
  await second.exited;
  const third = await start("1");
  await saying(third, "Done: three");
  expect(third.lines.entries.map(({ text }) => text)).toEqual(["Begun: three", "Done: three"]);
  expect(await third.stop()).toEqual({ code: 0, signal: null });
  expect(await gateway.stop()).toEqual({ code: 0, signal: null });
});

test("The script on Deno prints each message as a line of JSON", async () => {
  const gateway = await startGateway(TARGETS.bun, { config: { subjects: ["orders.>"] } });
  const script = await startProcess(
    "orders.js",
    [
      findDeno(),
      "run",
      "--no-prompt",
      "--allow-net",
      "examples/deno-script/orders.js",
      gateway.wsUrl,
    ],
    { cwd: ROOT, env: cleanEnvironment() },
  );
  const publishing = setInterval(() => publish(gateway, "orders.eu", '{"n":1}'), 20);
  const { text, stream } = await script.lines.find(() => true, "line");
  clearInterval(publishing);
  expect([stream, text]).toEqual(["stdout", '["orders.eu",{"n":1}]']);
  expect(await script.stop()).toEqual({ code: 0, signal: null });
  expect(await gateway.stop()).toEqual({ code: 0, signal: null });
});

test("The lines of curl follow subjects, publish, and continue after an id", async () => {
  const gateway = await startGateway(TARGETS.bun, { config: { subjects: ["orders.>"] } });
  const readme = readFileSync(`${ROOT}examples/curl/README.md`, "utf8");
  const [follow, publish, resume] = readme
    .match(/^curl .*$/gm)!
    .map((line) => line.replace("http://localhost:8080", gateway.url));
  const run = (line: string) => startProcess("curl", ["sh", "-c", `exec ${line}`], {});
  const following = await run(follow!);
  await saying(following, "event: subscribed");
  expect(await (await run(publish!)).exited).toEqual({ code: 0, signal: null });
  await saying(following, '"total":9.5');
  const ids = following.lines.entries.filter(({ text }) => text.startsWith("id: "));
  await (await run(publish!.replace("9.5", "10.5"))).exited;
  const resumed = await run(resume!.replace(": ID", ids.at(-1)!.text.slice("id".length)));
  await saying(resumed, '"total":10.5');
  expect(resumed.lines.entries.filter(({ text }) => text.includes('"total":9.5'))).toEqual([]);
  await Promise.all([following.stop(), resumed.stop()]);
  expect(await gateway.stop()).toEqual({ code: 0, signal: null });
});

test("The flow file of StreamKit is a gateway at which StreamKit's own input acknowledges", async () => {
  const config = configOf("streamkit-flow/flow.json");
  const gateway = await startGateway(TARGETS.bun, { config });
  await untilReady(gateway);
  expect(gateway.path).toBe("/ws");
  const client = new StreamkitClient(gateway.wsUrl, 10);
  await client.dial();
  // The subscription in NATS may come after the client.
  const publishing = setInterval(() => nats.publish("telemetry.raw", '{"speed":7}'), 20);
  await client.done.find((payload) => JSON.stringify(payload).includes("7"), "message");
  clearInterval(publishing);
  client.stop();
  expect(await gateway.stop()).toEqual({ code: 0, signal: null });
});

async function publish(gateway: Gateway, subject: string, body: string): Promise<void> {
  await fetch(`${gateway.url}/publish/${subject}`, { method: "POST", body });
}
