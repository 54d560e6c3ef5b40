/**
 * The publisher: one process that writes NATS' protocol to a raw TCP socket, from bytes that are
 * built beforehand. Each payload is `{"t":<µs since 1970>,"n":<sequence>,"d":"xx…"}`, of an exact
 * length. It prints one line of JSON: {@linkcode Published}.
 */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
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

/** So much work is kept under way when there is no rate: enough for nobody to wait for more. */
const UNDER_WAY_MS = 100;
const FEWEST_UNDER_WAY = 64;
const MOST_AT_ONCE = 8192;
/** While NATS has not taken so many bytes, nothing more is written. */
const MOST_UNWRITTEN = 1024 * 1024;
/** With it all sequence numbers are equally long. */
const FIRST_NUMBER = 10_000_000;

const clock = new WallClock();
const task = JSON.parse(process.argv[2]!) as PublisherTask;
const template = Buffer.from(
  `PUB ${task.subject} ${task.payloadBytes}\r\n${payload(task.payloadBytes)}\r\n`,
);
const stampAt = template.indexOf('"t":') + 4;
const numberAt = template.indexOf('"n":') + 4;

const nats = await dial(task.port);
await says(nats, "INFO");
nats.write(
  `CONNECT ${JSON.stringify({ verbose: false, lang: "bench", version: "1" })}\r\nPING\r\n`,
);
await says(nats, "PONG");
// Its pings need an answer only in longer runs than ours.
nats.resume();

const allowed = task.rate === undefined ? await followCredits() : followClock(task.rate);
let published = 0;
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
    } else if (nats.writableLength < MOST_UNWRITTEN) {
      publish(Math.min(MOST_AT_ONCE, allowed(nowMs - startMs) - published));
    }
  }, 1);
});
const seconds = (performance.now() - startMs) / 1000;
const { user, system } = process.cpuUsage(cpu);
nats.write("PING\r\n");
await says(nats, "PONG");
const result: Published = {
  event: "published",
  messages: published,
  seconds,
  lateMs,
  cpuSeconds: (user + system) / 1e6,
};
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exit(0);

function payload(bytes: number): string {
  const around = `{"t":${clock.nowUs()},"n":${FIRST_NUMBER},"d":""}`;
  if (bytes < around.length) throw new RangeError(`a payload has at least ${around.length} bytes`);
  return `${around.slice(0, -2)}${"x".repeat(bytes - around.length)}"}`;
}

/** Messages that leave together have one stamp: that of the moment before they are written. */
function publish(count: number): void {
  if (count <= 0) return;
  const batch = Buffer.alloc(count * template.length, template);
  const stamp = String(clock.nowUs());
  for (let start = 0; start < batch.length; start += template.length) {
    batch.write(stamp, start + stampAt, "latin1");
    batch.write(String(FIRST_NUMBER + published++), start + numberAt, "latin1");
  }
  nats.write(batch);
}

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

async function dial(port: number): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  await once(socket, "connect");
  return socket;
}

/** Waits for a line that begins so; what stands before it is of no interest. */
async function says(socket: Socket, word: string): Promise<void> {
  let text = "";
  const { promise, resolve } = Promise.withResolvers<void>();
  const look = (chunk: Buffer): void => {
    text += chunk.toString("latin1");
    if (new RegExp(`(^|\n)${word}`).test(text)) resolve();
  };
  socket.on("data", look);
  await promise;
  socket.off("data", look);
}
