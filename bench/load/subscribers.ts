/**
 * The load client: one process that opens many WebSockets, counts what each gets, and says what it
 * saw. It prints two lines of JSON: {@linkcode Ready}, then {@linkcode Observed}.
 *
 * It runs on Node, whose sockets can all read into one buffer: on Bun, and on Node without that, it
 * reads half as much.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { tellCredits } from "./credits.ts";
import { Dialer, type LoadClient } from "./dialer.ts";
import type { Endpoint } from "./endpoint.ts";
import { Latencies } from "./latency.ts";
import { beginUsage, type Usage } from "./usage.ts";
import { WallClock } from "./wall-clock.ts";

/** What it is to do, as JSON in its first argument. */
export interface SubscriberTask extends Endpoint {
  readonly clients: number;
  /** So many of them stop to read when the first message has come; they count for nothing. */
  readonly stalled: number;
  /** One message of so many is looked into for its latency. */
  readonly sampleEvery: number;
  /** From the first message on, nothing is counted for so long. */
  readonly warmUpMs: number;
  readonly measureMs: number;
  /** The processes whose CPU time is taken over the measurement, by what they are. */
  readonly pids: Readonly<Record<string, number>>;
}

/** All clients are connected: the publisher may begin. */
export interface Ready {
  readonly event: "ready";
  /** Here it tells how many messages each client has got, every millisecond, in 4 bytes. */
  readonly creditPort: number;
}

/** What was seen between the end of the warm-up and the end of the measurement. */
export interface Observed extends Usage {
  readonly event: "observed";
  readonly deliveries: number;
  readonly latencyUs: { samples: number; p50: number; p99: number; max: number };
  /** Messages per client from the very first to the very last. */
  readonly received: { fewest: number; most: number };
  /** Connections that ended before we ended them, and why the first did. */
  readonly lost: { count: number; reason: string | undefined };
}

const CONNECT_AT_ONCE = 100;
/** So long may all take to connect, and then the first message to come. */
const CONNECT_MS = 25_000;
const FIRST_MESSAGE_MS = 5000;
/** When nothing came for so long after the measurement, nothing more will. */
const IDLE_MS = 150;
/** So long is waited for what is still under way, at the most. */
const DRAIN_MS = 1000;

const task = JSON.parse(process.argv[2]!) as SubscriberTask;
const sampling = { every: task.sampleEvery, clock: new WallClock(), latencies: new Latencies() };
const lost: string[] = [];
const dialer = new Dialer(task, sampling, (number, what) => {
  if (number >= task.stalled) lost.push(what);
});
const clients: LoadClient[] = [];
const connecting = deadline(CONNECT_MS, "not all clients connected");
for (let left = task.clients; left > 0; left -= CONNECT_AT_ONCE) {
  const dials = Array.from({ length: Math.min(CONNECT_AT_ONCE, left) }, () => dialer.dial());
  clients.push(...(await Promise.all(dials)));
}
clearTimeout(connecting);
const readers = clients.slice(task.stalled).map(({ reader }) => reader);
say({ event: "ready", creditPort: await tellCredits(() => received().fewest) } satisfies Ready);

const waiting = deadline(FIRST_MESSAGE_MS, "no message came");
while (received().most === 0) {
  if (lost.length > 0) throw new Error(`a client was lost before the first message: ${lost[0]}`);
  await sleep(1);
}
clearTimeout(waiting);
for (const client of clients.slice(0, task.stalled)) client.stall();
await sleep(task.warmUpMs);
const seen = await measure();
await untilIdle();
say({
  event: "observed",
  ...seen,
  received: received(),
  lost: { count: lost.length, reason: lost[0] },
} satisfies Observed);
process.exit(0);

function deadline(ms: number, what: string): NodeJS.Timeout {
  return setTimeout(() => {
    throw new Error(`${what} in ${ms / 1000} s`);
  }, ms);
}

/** What each client has got; those that were lost say no more. */
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
  return {
    ...usage,
    deliveries,
    latencyUs: {
      samples: latencies.count,
      p50: latencies.quantileUs(0.5),
      p99: latencies.quantileUs(0.99),
      max: latencies.maxUs,
    },
  };
}

/** Waits until what is under way has arrived. */
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

function say(what: Ready | Observed): void {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}
