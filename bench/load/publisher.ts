/**
 * The publisher: one process that sends messages to NATS at a rate, or as many as are taken. It
 * prints one line of JSON: {@linkcode Published}.
 */
import { dial, NatsWriter } from "./nats-writer.ts";
import { WallClock } from "./wall-clock.ts";

/** What it is to do, as JSON in its first argument. */
export interface PublisherTask {
  /** Of nats-server. */
  readonly port: number;
  readonly subject: string;
  readonly payloadBytes: number;
  /** Messages per second; `undefined`: as fast as the slowest client of the load client reads. */
  readonly rate?: number;
  readonly durationMs: number;
  /** Where the load client tells how far it is; without `rate` only. */
  readonly creditPort: number;
}

export interface Published {
  readonly event: "published";
  readonly messages: number;
  readonly seconds: number;
  /** By how much the schedule slipped at worst. */
  readonly lateMs: number;
  readonly cpuSeconds: number;
}

/**
 * So much work is kept under way when there is no rate: enough for nobody to wait for more. With
 * more of it, the load client would read what is no longer in the processor's cache, half as fast.
 */
const UNDER_WAY_MS = 25;
const FEWEST_UNDER_WAY = 64;
const MOST_AT_ONCE = 8192;
/** While NATS has not taken so many bytes, nothing more is written. */
const MOST_UNWRITTEN = 1024 * 1024;

const task = JSON.parse(process.argv[2]!) as PublisherTask;
const { port, subject, payloadBytes } = task;
const nats = await NatsWriter.connect(port, new WallClock(), subject, payloadBytes);
const allowed = task.rate === undefined ? await followCredits() : followClock(task.rate);
let lateMs = 0;
const startMs = performance.now();
const cpu = process.cpuUsage();
await new Promise<void>((resolve) => {
  let lastMs = startMs;
  const timer = setInterval(() => {
    const nowMs = performance.now();
    lateMs = Math.max(lateMs, nowMs - lastMs - 1);
    lastMs = nowMs;
    if (nowMs - startMs >= task.durationMs) {
      clearInterval(timer);
      resolve();
    } else if (nats.unwrittenBytes < MOST_UNWRITTEN) {
      nats.publish(Math.min(MOST_AT_ONCE, allowed(nowMs - startMs) - nats.published));
    }
  }, 1);
});
const seconds = (performance.now() - startMs) / 1000;
const { user, system } = process.cpuUsage(cpu);
await nats.flush();
const result: Published = {
  event: "published",
  messages: nats.published,
  seconds,
  lateMs,
  cpuSeconds: (user + system) / 1e6,
};
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(0);

/** How many messages are due at a time since the start, by a bucket that each moment fills. */
function followClock(rate: number): (elapsedMs: number) => number {
  return (elapsedMs) => Math.floor((elapsedMs * rate) / 1000);
}

/** How many messages may be published so that the work under way stays the same. */
async function followCredits(): Promise<() => number> {
  const credits = await dial(task.creditPort);
  let received = 0;
  let window = FEWEST_UNDER_WAY;
  let seen = { received: 0, ms: performance.now() };
  credits.on("data", (chunk: Buffer) => {
    if (chunk.length < 4) return;
    received = chunk.readUInt32LE((chunk.length - 4) & ~3);
    const nowMs = performance.now();
    if (nowMs - seen.ms < UNDER_WAY_MS / 2) return;
    const perMs = (received - seen.received) / (nowMs - seen.ms);
    window = Math.max(FEWEST_UNDER_WAY, Math.ceil(perMs * UNDER_WAY_MS));
    seen = { received, ms: nowMs };
  });
  return () => received + window;
}
