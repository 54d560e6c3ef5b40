/**
 * Live clients beside those that replay a stream, in a thread of their own: they wait for the server then,
 * not for the reading of the replay. On any message, it answers with the {@linkcode LiveSeen} of what was
 * published since the last answer.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { Dialer } from "./dialer.ts";
import type { Endpoint } from "./endpoint.ts";
import { Latencies } from "./latency.ts";
import { NatsWriter } from "./nats-writer.ts";

/** The task of this thread. */
interface LiveTask extends Endpoint {
  readonly natsPort: number;
}

export interface LiveSeen {
  readonly p50Us?: number;
  readonly p99Us?: number;
}

const CLIENTS = 10;
const SUBJECT = "live.x";
const PAYLOAD_BYTES = 128;
const INTERVAL_MS = 2;
/** The longest wait for what was published. */
const LATE_MS = 20_000;

const task = workerData as LiveTask;
const sampling = { every: 1, latencies: new Latencies() };
// Plain clients of Spillway get all that it exposes besides the stream, of which nothing new comes.
const dialect = task.dialect === "v1" ? "envelope" : task.dialect;
const dialer = new Dialer({ ...task, dialect, subject: SUBJECT }, sampling, (_, reason) => {
  throw new Error(`a live client was lost: ${reason}`);
});
await dialer.dialAll(CLIENTS, 1);
const nats = await NatsWriter.connect(task.natsPort, SUBJECT, PAYLOAD_BYTES);
let publishing = setInterval(() => nats.publish(1), INTERVAL_MS);
parentPort!.on("message", async () => parentPort!.postMessage(await look()));
parentPort!.postMessage("connected");

/** Late messages count as well, so nothing is published until all have come. */
async function look(): Promise<LiveSeen> {
  clearInterval(publishing);
  const endMs = performance.now() + LATE_MS;
  while (dialer.clients.some(({ reader }) => reader.messages < nats.published)) {
    if (performance.now() > endMs) throw new Error("live clients did not get all");
    await sleep(1);
  }
  const { latencies } = sampling;
  sampling.latencies = new Latencies();
  publishing = setInterval(() => nats.publish(1), INTERVAL_MS);
  return latencies.quantiles();
}
