/**
 * Live clients beside those that come back, in a thread of their own: what they wait for is then the
 * server, not the reading of all that the others get. Asked by any message, it answers with
 * {@linkcode LiveSeen} of what was published since the last answer.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { Dialer, type LoadClient } from "./dialer.ts";
import { Latencies } from "./latency.ts";
import { NatsWriter } from "./nats-writer.ts";
import type { ReturningTask } from "./returning.ts";
import { WallClock } from "./wall-clock.ts";

export interface LiveSeen {
  readonly p50Us: number;
  readonly p99Us: number;
}

const CLIENTS = 10;
const SUBJECT = "live.x";
const PAYLOAD_BYTES = 128;
const INTERVAL_MS = 2;
/** What was published may come so much later. */
const LATE_MS = 20_000;

const task = workerData as ReturningTask;
const clock = new WallClock();
const sampling = { every: 1, clock, latencies: new Latencies() };
// Plain clients of Spillway: all that it exposes besides the stream, of which nothing new comes.
const dialect = task.dialect === "v1" ? "envelope" : task.dialect;
const dialer = new Dialer({ ...task, dialect, subject: SUBJECT }, sampling, (_, what) => {
  throw new Error(`a live client was lost: ${what}`);
});
const clients: LoadClient[] = [];
for (let n = 0; n < CLIENTS; n++) clients.push(await dialer.dial());
const nats = await NatsWriter.connect(task.natsPort, clock, SUBJECT, PAYLOAD_BYTES);
let publishing = setInterval(publish, INTERVAL_MS);
parentPort!.on("message", async () => parentPort!.postMessage(await look()));
parentPort!.postMessage("connected");

function publish(): void {
  nats.publish(1);
}

/** What comes late counts as well, so nothing is published until all is there. */
async function look(): Promise<LiveSeen> {
  clearInterval(publishing);
  const endMs = performance.now() + LATE_MS;
  while (clients.some(({ reader }) => reader.messages < nats.published)) {
    if (performance.now() > endMs) throw new Error("live clients did not get all");
    await sleep(1);
  }
  const { latencies } = sampling;
  sampling.latencies = new Latencies();
  publishing = setInterval(publish, INTERVAL_MS);
  return { p50Us: latencies.quantileUs(0.5), p99Us: latencies.quantileUs(0.99) };
}
