/**
 * A crowd: it opens thousands of WebSockets, leaves them idle, and then has one message at a time sent to
 * all. It prints one line of JSON: {@linkcode CrowdSeen}.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { rssBytes } from "../machine.ts";
import { Dialer } from "./dialer.ts";
import type { Endpoint } from "./endpoint.ts";
import { Latencies } from "./latency.ts";
import { NatsWriter } from "./nats-writer.ts";
import type { Pids } from "./usage.ts";

/** The task of this process, as JSON in its first argument. */
export interface CrowdTask extends Endpoint {
  readonly clients: number;
  /** This many of them connect at a time. */
  readonly atOnce: number;
  /** This many messages are sent to all, one after another. */
  readonly messages: number;
  readonly natsPort: number;
  readonly pids: Pids;
}

export interface CrowdSeen {
  /** Until the last client had connected, or had failed. */
  readonly connectedMs: number;
  readonly failed: number;
  /** The growth of the gateway's memory from before the first connection until after the last. */
  readonly grownBytes: number | undefined;
  /** For each message, the time until the last client had it. */
  readonly lastClientMs: readonly number[];
}

/** A client that has not connected by then has failed. */
const CONNECT_MS = 20_000;
/** Time that the gateway stays idle before its memory is read. */
const SETTLE_MS = 1000;
const BETWEEN_MESSAGES_MS = 100;
const MESSAGE_MS = 5000;
const PAYLOAD_BYTES = 128;

const task = JSON.parse(process.argv[2]!) as CrowdTask;
const sampling = { every: Number.MAX_SAFE_INTEGER, latencies: new Latencies() };
const dialer = new Dialer(task, sampling, () => {});
const nats = await NatsWriter.connect(task.natsPort, task.subject, PAYLOAD_BYTES);
const { gateway } = task.pids;

const emptyBytes = rssBytes(gateway);
const startMs = performance.now();
await Promise.race([dialer.dialAll(task.clients, task.atOnce), sleep(CONNECT_MS)]);
const connectedMs = performance.now() - startMs;
const readers = dialer.clients.map(({ reader }) => reader);
await sleep(SETTLE_MS);
const fullBytes = rssBytes(gateway);
const lastClientMs: number[] = [];
for (let message = 0; message < task.messages; message++) lastClientMs.push(await sendOne());
const seen: CrowdSeen = {
  connectedMs,
  failed: task.clients - readers.length,
  grownBytes: fullBytes && emptyBytes && fullBytes - emptyBytes,
  lastClientMs,
};
process.stdout.write(`${JSON.stringify(seen)}\n`, () => process.exit(0));

/** Publishes a message and returns how long it took until the last client had it. */
async function sendOne(): Promise<number> {
  await sleep(BETWEEN_MESSAGES_MS);
  const wanted = nats.published + 1;
  const sentMs = performance.now();
  nats.publish(1);
  while (readers.some(({ messages }) => messages < wanted)) {
    if (performance.now() - sentMs > MESSAGE_MS) throw new Error("a message did not reach all");
    await new Promise(setImmediate);
  }
  return performance.now() - sentMs;
}
