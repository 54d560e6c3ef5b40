/**
 * A host that uses StreamKit's component. It prints one line for each fact; `output-runtimes.test.ts` runs it on each runtime.
 * It never calls `process.exit`: the process ends by itself unless something is left open.
 */
import process from "node:process";
import { connect } from "nats";
import { createRegistry } from "../../src/metrics/prometheus.ts";
import {
  createOutput,
  defaultConstructorConfig,
  type Log,
  newOutputFromConfig,
  Registry,
  register,
  type SpillwayError,
} from "../../src/streamkit/mod.ts";

const natsUrl = process.env.PROGRAM_NATS_URL ?? "";
const quiet: Log = { debug() {}, info() {}, warn() {}, error() {} };
const tell = (name: string, fact: unknown): void =>
  void process.stdout.write(`${JSON.stringify({ name, fact })}\n`);

/** Connects, and counts data until the connection closes. */
async function listen(
  port: number,
): Promise<{ received: string[]; closed: Promise<number>; next(): Promise<void> }> {
  const ws = new WebSocket(`ws://127.0.0.1:${port}/ws`);
  const received: string[] = [];
  let wake: (() => void) | undefined;
  ws.onmessage = ({ data }) => {
    received.push(String(JSON.parse(String(data)).payload));
    wake?.();
  };
  const closed = new Promise<number>((resolve) => {
    ws.onclose = ({ code }) => resolve(code);
  });
  await new Promise((resolve, reject) => {
    ws.onopen = resolve;
    ws.onerror = () => reject(new Error("no connection"));
  });
  const next = (): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve;
    });
  return { received, closed, next };
}

const nats = await connect({ servers: natsUrl });
const metricsRegistry = createRegistry();

// Its own connection to NATS, started, used, stopped, and all that again.
const output = createOutput(
  { port: 0, subjects: ["program.>"], nats_url: natsUrl },
  { logger: quiet, metricsRegistry },
);
output.initialize();
tell("healthy before the start", output.health().healthy);
for (const round of [1, 2]) {
  await Promise.all([output.start(), output.start()]);
  const { port } = output.outputPorts()[0]!.config.data;
  const client = await listen(port);
  const heard = client.next();
  // NATS may learn of the subscription after the port is open.
  const publishing = setInterval(() => nats.publish("program.own", `"round ${round}"`), 20);
  await heard;
  clearInterval(publishing);
  tell(`round ${round} heard`, client.received[0]);
  tell(`round ${round} healthy`, output.health().healthy);
  await Promise.all([output.stop(5000), output.stop(5000)]);
  tell(`round ${round} closed with`, await client.closed);
  const refused = await fetch(`http://127.0.0.1:${port}/livez`).then(
    () => false,
    () => true,
  );
  tell(`round ${round} port is free`, refused);
}
await output.stop(5000);
tell("healthy after the stop", output.health().healthy);

// Two on one metrics registry, one of them on an injected connection, which survives.
const constructed = {
  ...defaultConstructorConfig(),
  port: 0,
  subjects: ["program.>"],
  logger: quiet,
  metricsRegistry,
};
const injected = newOutputFromConfig({ ...constructed, name: "injected", natsConnection: nats });
const embedded = newOutputFromConfig({ ...constructed, name: "embedded" });
await Promise.all([injected.start(), embedded.start()]);
const text = await metricsRegistry.metrics();
tell(
  "components on one registry",
  ["injected", "embedded"].filter((name) =>
    text.includes(`websocket_clients_active{component="${name}"} 0`),
  ),
);
const client = await listen(injected.outputPorts()[0]!.config.data.port);
const heard = client.next();
const publishing = setInterval(() => nats.publish("program.injected", '"injected"'), 20);
await heard;
clearInterval(publishing);
tell("injected heard", client.received[0]);

// A port that is taken.
const taken = newOutputFromConfig({
  ...constructed,
  name: "taken",
  port: injected.outputPorts()[0]!.config.data.port,
});
const failure = await taken.start().then(
  () => undefined,
  (error: SpillwayError) => error,
);
tell("taken port", [
  failure?.class,
  failure?.code,
  taken.health().healthy,
  failure?.message.endsWith(`listen failed: ${taken.health().last_error}`),
]);
await taken.stop(1000);

await Promise.all([injected.stop(5000), embedded.stop(5000)]);
tell("injected connection is closed", nats.isClosed());

// From a flow file's entry.
const registry = new Registry<{ logger: Log }>();
register(registry);
const entry = { type: "output", name: "websocket", enabled: true, config: { port: 0 } };
const instance = registry.createComponent("from-flow", entry, { logger: quiet });
await instance?.start();
tell("from a flow file", instance?.meta().name);
await instance?.stop(1000);

await nats.close();
tell("end", true);
