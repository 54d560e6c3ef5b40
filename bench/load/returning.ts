/**
 * Clients that all come back at once to what a stream has kept, beside a few that are live. It prints
 * one line of JSON: {@linkcode ReturnsSeen}.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Dialer } from "./dialer.ts";
import { type Endpoint, KEPT_SUBJECT } from "./endpoint.ts";
import { Latencies } from "./latency.ts";
import { NatsWriter } from "./nats-writer.ts";
import type { StreamReader } from "./stream-reader.ts";
import { beginUsage, type Usage } from "./usage.ts";
import { WallClock } from "./wall-clock.ts";

/** What it is to do, as JSON in its first argument. */
export interface ReturningTask extends Endpoint {
  readonly clients: number;
  /** So many the stream has kept for each of them. */
  readonly messages: number;
  readonly natsPort: number;
  readonly pids: Readonly<Record<string, number>>;
}

export interface ReturnsSeen extends Usage {
  /** From when the first one connected until all of them had all. */
  readonly caughtUpMs: number;
  /** Of those that are live: before, and meanwhile. */
  readonly calm: { readonly p99Us: number };
  readonly meanwhile: { readonly p50Us: number; readonly p99Us: number };
  readonly lost: number;
}

const LIVE_CLIENTS = 10;
const LIVE_SUBJECT = "live.x";
const LIVE_BYTES = 128;
const LIVE_INTERVAL_MS = 5;
const CALM_MS = 1000;
/** So many connect at a time: more may be more than wait for a listener. */
const AT_ONCE = 100;
const DEADLINE_MS = 60_000;

const task = JSON.parse(process.argv[2]!) as ReturningTask;
const clock = new WallClock();
const live = { every: 1, clock, latencies: new Latencies() };
let lost = 0;
const lose = (): void => void lost++;

// Plain clients of Spillway: all that it exposes besides the stream, of which nothing new comes.
const dialect = task.dialect === "v1" ? "envelope" : task.dialect;
const liveDialer = new Dialer({ ...task, dialect, subject: LIVE_SUBJECT }, live, lose);
for (let n = 0; n < LIVE_CLIENTS; n++) await liveDialer.dial();
const nats = await NatsWriter.connect(task.natsPort, clock, LIVE_SUBJECT, LIVE_BYTES);
setInterval(() => nats.publish(1), LIVE_INTERVAL_MS);
await sleep(CALM_MS);
const calm = live.latencies;

live.latencies = new Latencies();
const unseen = { every: Number.MAX_SAFE_INTEGER, clock, latencies: new Latencies() };
const dialer = new Dialer({ ...task, subject: KEPT_SUBJECT, goesBack: true }, unseen, lose);
const readers: StreamReader[] = [];
const endUsage = beginUsage(task.pids);
const startMs = performance.now();
setTimeout(() => {
  throw new Error(`not all had all after ${DEADLINE_MS / 1000} s`);
}, DEADLINE_MS);
await connectAll();
// What else a client is told counts as a message here, and is one in thousands.
while (readers.some(({ messages }) => messages < task.messages)) await sleep(1);
const caughtUpMs = performance.now() - startMs;
const seen: ReturnsSeen = {
  ...endUsage(),
  caughtUpMs,
  calm: { p99Us: calm.quantileUs(0.99) },
  meanwhile: { p50Us: live.latencies.quantileUs(0.5), p99Us: live.latencies.quantileUs(0.99) },
  lost,
};
process.stdout.write(`${JSON.stringify(seen)}\n`, () => process.exit(0));

async function connectAll(): Promise<void> {
  let left = task.clients;
  const dialOneByOne = async (): Promise<void> => {
    while (left-- > 0) readers.push((await dialer.dial()).reader);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, dialOneByOne));
}
