/**
 * The load client: one process that opens many WebSockets over raw TCP, counts what each gets, and
 * says what it saw. It prints two lines of JSON: {@linkcode Ready}, then {@linkcode Observed}.
 */
import { randomBytes } from "node:crypto";
import { cpuSeconds, machineTime } from "../machine.ts";
import { Latencies } from "./latency.ts";
import { EnvelopeReader, type Findings, NatsReader, type StreamReader } from "./stream-reader.ts";
import { WallClock } from "./wall-clock.ts";

/** What it is to do, as JSON in its first argument. */
export interface SubscriberTask {
  readonly port: number;
  readonly path: string;
  /** `"nats"`: the server is nats-server's own WebSocket listener. */
  readonly dialect: "envelope" | "nats";
  readonly subject: string;
  readonly clients: number;
  /** From the first message on, nothing is counted for so long. */
  readonly warmUpMs: number;
  readonly measureMs: number;
  /** The processes whose CPU time is taken over the measurement, by what they are. */
  readonly pids: Readonly<Record<string, number>>;
}

/** All clients are connected: the publisher may begin. */
export interface Ready {
  readonly event: "ready";
  /** Here it tells how many messages each client has got, every millisecond, in 4 bytes. */
  readonly creditPort: number;
}

/** What was seen between the end of the warm-up and the end of the measurement. */
export interface Observed {
  readonly event: "observed";
  readonly seconds: number;
  readonly deliveries: number;
  readonly latencyUs: { samples: number; p50: number; p99: number; max: number };
  /** CPU seconds by process, this one as `load`; without those that could not be had. */
  readonly cpuSeconds: Readonly<Record<string, number>>;
  /** CPU seconds of all processes of the machine, and what was stolen and all of it. */
  readonly machine: { busy: number; stolen: number; total: number } | undefined;
  /** Messages per client from the very first to the very last. */
  readonly received: { fewest: number; most: number };
  /** Connections that ended before we ended them, and why the first did. */
  readonly lost: { count: number; reason: string | undefined };
}

const SAMPLE_EVERY = 16;
const CONNECT_AT_ONCE = 100;
/** By then all must be connected and the first message must have come. */
const DEADLINE_MS = 10_000;
/** When nothing came for so long after the measurement, nothing more will. */
const IDLE_MS = 300;
/** So long is waited for what is still under way, at the most. */
const DRAIN_MS = 3000;

const clock = new WallClock();
let latencies = new Latencies();
const readers: StreamReader[] = [];
const lost: string[] = [];

const task = JSON.parse(process.argv[2]!) as SubscriberTask;
const deadline = setTimeout(() => {
  const began = readers.length < task.clients ? "not all clients could connect" : "no message came";
  throw new Error(`${began} within ${DEADLINE_MS / 1000} s`);
}, DEADLINE_MS);

for (let begun = 0; begun < task.clients; begun += CONNECT_AT_ONCE) {
  const count = Math.min(CONNECT_AT_ONCE, task.clients - begun);
  await Promise.all(Array.from({ length: count }, () => connect()));
}
const creditPort = tellCredits();
say({ event: "ready", creditPort } satisfies Ready);

while (received().most === 0) {
  if (lost.length > 0) throw new Error(`a client was lost before the first message: ${lost[0]}`);
  await Bun.sleep(1);
}
clearTimeout(deadline);
await Bun.sleep(task.warmUpMs);
const seen = await measure();
await untilIdle();
say({
  event: "observed",
  ...seen,
  received: received(),
  lost: { count: lost.length, reason: lost[0] },
} satisfies Observed);
process.exit(0);

/** Opens a connection and resolves when it will get every message that is published from now on. */
async function connect(): Promise<void> {
  const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
  const nats = task.dialect === "nats";
  const lose = (what: string): void => {
    lost.push(what);
    reject(new Error(what));
  };
  const findings: Findings = {
    // A pong need not answer a ping (RFC 6455 §5.5.3), and every server takes it for life.
    ping: () => void socket.write(nats ? maskedFrame(2, "PONG\r\n") : maskedFrame(10, "")),
    pong: resolve,
    fault: lose,
  };
  const sampling = {
    every: SAMPLE_EVERY,
    clock,
    latencies: { add: (us: number) => latencies.add(us) } as Latencies,
  };
  const reader = nats
    ? new NatsReader(findings, sampling, readers.length)
    : new EnvelopeReader(findings, sampling, readers.length);
  readers.push(reader);
  let head: Buffer | undefined = Buffer.alloc(0);
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: task.port,
    socket: {
      data(_, chunk) {
        if (head === undefined) {
          reader.read(chunk);
          return;
        }
        head = Buffer.concat([head, chunk]);
        const end = head.indexOf("\r\n\r\n");
        if (end < 0) return;
        const rest = head.subarray(end + 4);
        if (!head.toString("latin1").startsWith("HTTP/1.1 101")) {
          lose(head.toString("latin1"));
          return;
        }
        head = undefined;
        if (nats) socket.write(maskedFrame(2, natsGreeting()));
        else resolve();
        reader.read(rest);
      },
      close: () => lose("the connection was closed"),
      error: (_, error) => lose(error.message),
    },
  });
  socket.write(
    `GET ${task.path} HTTP/1.1\r\nHost: 127.0.0.1:${task.port}\r\nUpgrade: websocket\r\n` +
      "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
      `Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}\r\n\r\n`,
  );
  await ready;
}

function natsGreeting(): string {
  const options = JSON.stringify({ verbose: false, pedantic: false, lang: "bench", version: "1" });
  return `CONNECT ${options}\r\nSUB ${task.subject} 1\r\nPING\r\n`;
}

/** A short frame as a client sends it; the mask is 0, which leaves the payload as it is. */
function maskedFrame(opcode: number, payload: string): Uint8Array {
  const { length } = payload;
  const size = length < 126 ? [0x80 | length] : [0x80 | 126, length >> 8, length & 0xff];
  return Buffer.from([0x80 | opcode, ...size, 0, 0, 0, 0, ...Buffer.from(payload)]);
}

/** What each client has got; those that were lost say no more. */
function received(): { fewest: number; most: number } {
  let fewest = Number.POSITIVE_INFINITY;
  let most = 0;
  for (const { messages } of readers) {
    if (messages < fewest) fewest = messages;
    if (messages > most) most = messages;
  }
  return { fewest, most };
}

/** Tells a publisher that asks for it how far the slowest client is. */
function tellCredits(): number {
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        const bytes = Buffer.alloc(4);
        setInterval(() => {
          bytes.writeUInt32LE(received().fewest);
          socket.write(bytes);
        }, 1);
      },
      data() {},
    },
  });
  return server.port;
}

async function measure() {
  const take = () => ({
    ms: performance.now(),
    deliveries: readers.reduce((sum, { messages }) => sum + messages, 0),
    cpu: Object.entries(task.pids).map(([name, pid]) => [name, cpuSeconds(pid)] as const),
    load: process.cpuUsage(),
    machine: machineTime(),
  });
  latencies = new Latencies();
  const before = take();
  await Bun.sleep(task.measureMs);
  const after = take();
  const measured = latencies;
  latencies = new Latencies();
  const used = after.cpu.flatMap(([name, seconds], index) => {
    const from = before.cpu[index]![1];
    return seconds === undefined || from === undefined ? [] : [[name, seconds - from] as const];
  });
  const { user, system } = process.cpuUsage(before.load);
  const machine =
    after.machine === undefined || before.machine === undefined
      ? undefined
      : {
          busy: after.machine.busy - before.machine.busy,
          stolen: after.machine.stolen - before.machine.stolen,
          total: after.machine.total - before.machine.total,
        };
  return {
    seconds: (after.ms - before.ms) / 1000,
    deliveries: after.deliveries - before.deliveries,
    latencyUs: {
      samples: measured.count,
      p50: measured.quantileUs(0.5),
      p99: measured.quantileUs(0.99),
      max: measured.maxUs,
    },
    cpuSeconds: { ...Object.fromEntries(used), load: (user + system) / 1e6 },
    machine,
  };
}

/** Waits until what is under way has arrived. */
async function untilIdle(): Promise<void> {
  const endMs = performance.now() + DRAIN_MS;
  let before = -1;
  for (;;) {
    const { fewest, most } = received();
    if (fewest + most === before || performance.now() > endMs) return;
    before = fewest + most;
    await Bun.sleep(IDLE_MS);
  }
}

function say(what: Ready | Observed): void {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}
