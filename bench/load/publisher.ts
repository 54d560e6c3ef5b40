/**
 * The publisher: one process that sends messages to NATS at a rate, or as many as are taken. It
 * prints one line of JSON: {@linkcode Published}.
 */
import { followCredits } from "./credits.ts";
import { NatsWriter } from "./nats-writer.ts";
import { WallClock } from "./wall-clock.ts";

/** What it is to do, as JSON in its first argument. */
export interface PublisherTask {
  /** Of nats-server. */
  readonly port: number;
  readonly subject: string;
  readonly payloadBytes: number;
  /** Messages go to so many subjects below that in turn. Default: to itself. */
  readonly subjects?: number;
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

const MOST_AT_ONCE = 8192;
/** While NATS has not taken so many bytes, nothing more is written. */
const MOST_UNWRITTEN = 1024 * 1024;

const task = JSON.parse(process.argv[2]!) as PublisherTask;
const { port, subject, subjects, payloadBytes } = task;
const nats = await NatsWriter.connect(port, new WallClock(), subject, payloadBytes, subjects);
const allowed =
  task.rate === undefined ? await followCredits(task.creditPort) : followClock(task.rate);
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
