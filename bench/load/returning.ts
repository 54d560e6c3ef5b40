/**
 * Clients that all reconnect at once and replay a stream, beside a few live ones. It prints one line of
 * JSON: {@linkcode ReturnsSeen}.
 */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { Dialer } from "./dialer.ts";
import { type Endpoint, keptStream } from "./endpoint.ts";
import { Latencies } from "./latency.ts";
import type { LiveSeen } from "./live.ts";
import { beginUsage, type Pids, type Usage } from "./usage.ts";

/** The task of this process, as JSON in its first argument. */
export interface ReturningTask extends Endpoint {
  readonly clients: number;
  /** Messages in each stream. */
  readonly messages: number;
  /** The number of clients that come back before, one after another, each to a stream of its own. */
  readonly earlier: number;
  readonly natsPort: number;
  readonly pids: Pids;
}

export interface ReturnsSeen extends Usage {
  /** From the first connection until each client had the whole stream. */
  readonly caughtUpMs: number;
  /** The figures of the live clients before the replay, and during it. */
  readonly before: LiveSeen;
  readonly during: LiveSeen;
}

const CALM_MS = 1000;
/** More at a time may be more than a listener lets wait. */
const AT_ONCE = 100;
const DEADLINE_MS = 60_000;

const task = JSON.parse(process.argv[2]!) as ReturningTask;
/** In `spillway.v1.json`, `caught_up` counts as a message; other notices would be one in thousands. */
const wanted = task.messages + (task.dialect === "v1" ? 1 : 0);
for (let number = 1; number <= task.earlier; number++) await comeBack(number, 1);
const live = new Worker(new URL("./live.ts", import.meta.url), { workerData: task });
await once(live, "message");
await sleep(CALM_MS);
const before = await look();

const endUsage = beginUsage(task.pids);
const startMs = performance.now();
setTimeout(() => {
  throw new Error(`not all caught up after ${DEADLINE_MS / 1000} s`);
}, DEADLINE_MS);
await comeBack(0, task.clients);
const caughtUpMs = performance.now() - startMs;
const usage = endUsage();
const seen: ReturnsSeen = { ...usage, caughtUpMs, before, during: await look() };
process.stdout.write(`${JSON.stringify(seen)}\n`, () => process.exit(0));

/** Lets clients replay a stream; resolves when all of them have it. */
async function comeBack(number: number, clients: number): Promise<void> {
  const { stream, subject } = keptStream(number);
  const sampling = { every: Number.MAX_SAFE_INTEGER, latencies: new Latencies() };
  const dialer = new Dialer({ ...task, subject, replays: stream }, sampling, (_, reason) => {
    throw new Error(`a client was lost: ${reason}`);
  });
  await dialer.dialAll(clients, AT_ONCE);
  while (dialer.clients.some(({ reader }) => reader.messages < wanted)) await sleep(1);
}

async function look(): Promise<LiveSeen> {
  live.postMessage("look");
  const [seen] = (await once(live, "message")) as [LiveSeen];
  return seen;
}
