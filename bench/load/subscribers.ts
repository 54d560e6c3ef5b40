/**
 * The load client: it opens many WebSockets, publishes from a thread, and counts what each client gets. It
 * prints one line of JSON: {@linkcode FlowSeen}.
 *
 * It runs on Node, whose sockets can all read into one buffer: on Bun, and on Node without that, it
 * reads half as much.
 */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { Dialer } from "./dialer.ts";
import type { Endpoint } from "./endpoint.ts";
import { Latencies } from "./latency.ts";
import type { Published, PublisherTask } from "./publisher.ts";
import { beginUsage, type Pids, type Usage } from "./usage.ts";

/** The task of this process, as JSON in its first argument. */
export interface FlowTask extends Endpoint, Omit<PublisherTask, "natsPort" | "received"> {
  /** `undefined` if the contender makes its messages itself. */
  readonly natsPort: number | undefined;
  readonly clients: number;
  /** This many of them stop reading after the first message; they are not counted. */
  readonly stalled?: number;
  /** After the first message, nothing is counted for this long. */
  readonly warmUpMs: number;
  readonly measureMs: number;
  readonly pids: Pids;
}

/** The figures between the end of the warm-up and the end of the measurement. */
export interface FlowSeen extends Usage {
  readonly deliveries: number;
  readonly p50Us?: number;
  readonly p99Us?: number;
  /** Messages per client from the very first to the very last. */
  readonly received: { readonly fewest: number; readonly most: number };
  /** Connections that ended early. */
  readonly lost: number;
  readonly published?: Published;
}

const CONNECT_AT_ONCE = 100;
const CONNECT_MS = 25_000;
const FIRST_MESSAGE_MS = 5000;
/** If nothing comes for this long after the measurement, nothing more will. */
const IDLE_MS = 150;
/** The longest wait for what is still in flight. */
const DRAIN_MS = 1000;

const task = JSON.parse(process.argv[2]!) as FlowTask;
const { clients, stalled = 0, rate, natsPort } = task;
// Some ten thousand samples are enough; sampling millions costs the load client a fifth of its speed.
const every = rate === undefined || clients * rate >= 1_000_000 ? 128 : 16;
const sampling = { every, latencies: new Latencies() };
const lost: string[] = [];
const dialer = new Dialer(task, sampling, (number, reason) => {
  if (number >= stalled) lost.push(reason);
});
const connecting = deadline(CONNECT_MS, "not all clients connected");
await dialer.dialAll(clients, Math.min(clients, CONNECT_AT_ONCE));
clearTimeout(connecting);
failIfLost();
const readers = dialer.clients.slice(stalled).map(({ reader }) => reader);
const publishing = natsPort === undefined ? undefined : publish(natsPort);

const waiting = deadline(FIRST_MESSAGE_MS, "no message came");
while (received().most === 0) {
  failIfLost();
  await sleep(1);
}
clearTimeout(waiting);
for (const client of dialer.clients.slice(0, stalled)) client.stall();
await sleep(task.warmUpMs);
const seen = await measure();
failIfStuck(seen);
const published = await publishing;
await untilIdle();
const result: FlowSeen = {
  ...seen,
  received: received(),
  lost: lost.length,
  ...(published && { published }),
};
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));

async function publish(natsPort: number): Promise<Published> {
  const slowest = new Int32Array(new SharedArrayBuffer(4));
  setInterval(() => Atomics.store(slowest, 0, received().fewest), 1);
  const workerData: PublisherTask = { ...task, natsPort, received: slowest };
  const publisher = new Worker(new URL("./publisher.ts", import.meta.url), { workerData });
  const [published] = (await once(publisher, "message")) as [Published];
  return published;
}

function deadline(ms: number, what: string): NodeJS.Timeout {
  return setTimeout(() => {
    throw new Error(`${what} in ${ms / 1000} s`);
  }, ms);
}

function failIfLost(): void {
  if (lost.length > 0) throw new Error(`a client was lost before the first message: ${lost[0]}`);
}

/** Without a rate, the publisher waits for the slowest client, also for what that one has missed and never gets. */
function failIfStuck({ deliveries }: { readonly deliveries: number }): void {
  const { fewest, most } = received();
  if (rate !== undefined || natsPort === undefined || (deliveries > 0 && fewest > 0)) return;
  throw new Error(`the publisher waits for a client that has ${fewest} messages of ${most}`);
}

/** Returns what the clients have got; lost ones stay behind. */
function received(): { fewest: number; most: number } {
  let fewest = Number.POSITIVE_INFINITY;
  let most = 0;
  for (const { messages } of readers) {
    if (messages < fewest) fewest = messages;
    if (messages > most) most = messages;
  }
  return { fewest, most };
}

async function measure() {
  const count = (): number => readers.reduce((sum, { messages }) => sum + messages, 0);
  const latencies = new Latencies();
  sampling.latencies = latencies;
  const before = count();
  const endUsage = beginUsage(task.pids);
  await sleep(task.measureMs);
  const deliveries = count() - before;
  const usage = endUsage();
  sampling.latencies = new Latencies();
  return { ...usage, deliveries, ...latencies.quantiles() };
}

/** Waits until what is in flight has arrived. */
async function untilIdle(): Promise<void> {
  const endMs = performance.now() + DRAIN_MS;
  let before = -1;
  for (;;) {
    const { fewest, most } = received();
    if (fewest + most === before || performance.now() > endMs) return;
    before = fewest + most;
    await sleep(IDLE_MS);
  }
}
