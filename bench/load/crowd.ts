/**
 * A crowd: one process that opens very many WebSockets, leaves them idle, and then has one message
 * at a time sent to all. It prints one line of JSON: {@linkcode CrowdSeen}.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { rssBytes } from "../machine.ts";
import { Dialer } from "./dialer.ts";
import type { Endpoint } from "./endpoint.ts";
import { Latencies } from "./latency.ts";
import { NatsWriter } from "./nats-writer.ts";
import type { StreamReader } from "./stream-reader.ts";
import { beginUsage, type Usage } from "./usage.ts";
import { WallClock } from "./wall-clock.ts";

/** What it is to do, as JSON in its first argument. */
export interface CrowdTask extends Endpoint {
  readonly clients: number;
  /** So many of them connect at a time. */
  readonly atOnce: number;
  /** So many messages are sent to all, one after another. */
  readonly messages: number;
  readonly natsPort: number;
  readonly pids: Readonly<Record<string, number>>;
}

export interface CrowdSeen extends Usage {
  /** Until the last one was in, or had failed. */
  readonly connectedMs: number;
  readonly failed: { count: number; reason: string | undefined };
  /** What the gateway's memory grew by from before the first connection until after the last. */
  readonly grownBytes: number | undefined;
  /** For each message, the time until the last client had it. */
  readonly lastClientMs: readonly number[];
}

/** Who is not in by then has failed. */
const CONNECT_MS = 20_000;
/** So long the gateway is left alone before its memory is looked at. */
const SETTLE_MS = 1000;
const BETWEEN_MESSAGES_MS = 100;
const MESSAGE_MS = 5000;
const PAYLOAD_BYTES = 128;

const task = JSON.parse(process.argv[2]!) as CrowdTask;
const clock = new WallClock();
const failures: string[] = [];
const sampling = { every: 1_000_000, clock, latencies: new Latencies() };
const dialer = new Dialer(task, sampling, (_, what) => failures.push(what));
const nats = await NatsWriter.connect(task.natsPort, clock, task.subject, PAYLOAD_BYTES);
const gateway = task.pids.gateway!;

const emptyBytes = rssBytes(gateway);
const endUsage = beginUsage(task.pids);
const startMs = performance.now();
const readers: StreamReader[] = [];
await Promise.race([connectAll(), sleep(CONNECT_MS)]);
const connectedMs = performance.now() - startMs;
const usage = endUsage();
const failed = { count: task.clients - readers.length, reason: failures[0] };
await sleep(SETTLE_MS);
const fullBytes = rssBytes(gateway);
const lastClientMs: number[] = [];
for (let message = 0; message < task.messages; message++) lastClientMs.push(await sendOne());
const seen: CrowdSeen = {
  ...usage,
  connectedMs,
  failed,
  grownBytes:
    fullBytes === undefined || emptyBytes === undefined ? undefined : fullBytes - emptyBytes,
  lastClientMs,
};
process.stdout.write(`${JSON.stringify(seen)}\n`, () => process.exit(0));

/** Keeps so many dials under way that `atOnce` are, until all have come in or failed. */
async function connectAll(): Promise<void> {
  let left = task.clients;
  const dialOneByOne = async (): Promise<void> => {
    while (left-- > 0) {
      await dialer.dial().then(
        ({ reader }) => readers.push(reader),
        () => {},
      );
    }
  };
  await Promise.all(Array.from({ length: task.atOnce }, dialOneByOne));
}

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
