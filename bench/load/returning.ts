/**
 * Clients that all come back at once to what a stream has kept, beside a few that are live. It prints
 * one line of JSON: {@linkcode ReturnsSeen}.
 */
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { Dialer } from "./dialer.ts";
import { type Endpoint, KEPT_SUBJECT } from "./endpoint.ts";
import { Latencies } from "./latency.ts";
import type { LiveSeen } from "./live.ts";
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
  readonly calm: LiveSeen;
  readonly meanwhile: LiveSeen;
  /** From a while before: what one client's return takes is too short to tell others' noise by. */
  readonly whole: Usage;
}

const CALM_MS = 1000;
/** So many connect at a time: more may be more than wait for a listener. */
const AT_ONCE = 100;
const DEADLINE_MS = 60_000;

const task = JSON.parse(process.argv[2]!) as ReturningTask;
/** In `spillway.v1.json`, `caught_up` counts as a message; other notices would be one in thousands. */
const wanted = task.messages + (task.dialect === "v1" ? 1 : 0);
const live = new Worker(new URL("./live.ts", import.meta.url), { workerData: task });
await once(live, "message");
const endWhole = beginUsage(task.pids);
await sleep(CALM_MS);
const calm = await look();

const sampling = {
  every: Number.MAX_SAFE_INTEGER,
  clock: new WallClock(),
  latencies: new Latencies(),
};
const dialer = new Dialer({ ...task, subject: KEPT_SUBJECT, goesBack: true }, sampling, lose);
const readers: StreamReader[] = [];
const endUsage = beginUsage(task.pids);
const startMs = performance.now();
setTimeout(() => {
  throw new Error(`not all had all after ${DEADLINE_MS / 1000} s`);
}, DEADLINE_MS);
await connectAll();
while (readers.some(({ messages }) => messages < wanted)) await sleep(1);
const caughtUpMs = performance.now() - startMs;
const usage = endUsage();
const meanwhile = await look();
const seen: ReturnsSeen = { ...usage, caughtUpMs, calm, meanwhile, whole: endWhole() };
process.stdout.write(`${JSON.stringify(seen)}\n`, () => process.exit(0));

async function connectAll(): Promise<void> {
  let left = task.clients;
  const dialOneByOne = async (): Promise<void> => {
    while (left-- > 0) readers.push((await dialer.dial()).reader);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, dialOneByOne));
}

function lose(_: number, what: string): never {
  throw new Error(`a client was lost: ${what}`);
}

/** What those that are live saw since the last look. */
async function look(): Promise<LiveSeen> {
  live.postMessage("look");
  const [seen] = (await once(live, "message")) as [LiveSeen];
  return seen;
}
