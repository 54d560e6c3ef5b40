/**
 * `bun run bench/lossy-link.ts`: the age of what a client sees behind a link that loses packets. The client is in a
 * network namespace of its own; this process carries the packets between two TUN devices, as `tc netem` would. Needs Linux,
 * root and `ip` of iproute2.
 */
import { dlopen, FFIType } from "bun:ffi";
import { spawnSync } from "node:child_process";
import { closeSync, constants, openSync, readSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { ensureNatsServer } from "../scripts/install-nats-server.ts";
import { Random } from "../test/audit/random.ts";
import { startProcess } from "../test/support/child-process.ts";
import { startGateway } from "../test/support/gateway-process.ts";
import { startNatsServer } from "../test/support/nats-server.ts";
import { ROOT, TARGETS } from "../test/support/runtimes.ts";
import { SUBJECT } from "./load/endpoint.ts";
import type { FarSeen } from "./load/far-reader.ts";
import { NatsWriter } from "./load/nats-writer.ts";

const NAMESPACE = "spillway-far";
const NEAR = "10.77.0.1";
const FAR = "10.77.0.2";
const RATE = 1_000;
const SUBJECTS = 20;
const PAYLOAD_BYTES = 1024;
const LASTS_MS = 40_000;

interface Shape {
  readonly bitsPerSecond: number;
  /** In each direction. */
  readonly delayMs: number;
  /** The part of the packets that is lost, in each direction. */
  readonly loss: number;
  /** The bytes that wait at the link's entrance; what comes on top is lost. */
  readonly bufferBytes: number;
  readonly seed: number;
}

// From Linux's if_tun.h: packets without a header in front.
const TUNSETIFF = 0x400454ca;
const IFF_TUN_NO_PI = 0x1001;
const PACKET_BYTES = 2048;
const TICK_MS = 1;

/** Makes both devices, and carries packets between them until the process ends. */
function openLink(shape: Shape): void {
  const random = new Random(shape.seed);
  const near = openDevice("spillway0");
  const far = openDevice("spillway1");
  spawnSync("ip", ["netns", "del", NAMESPACE]);
  ip(`netns add ${NAMESPACE}`);
  ip(`link set spillway1 netns ${NAMESPACE}`);
  ip(`addr add ${NEAR} peer ${FAR} dev spillway0`);
  ip("link set spillway0 up");
  ip(`-n ${NAMESPACE} addr add ${FAR} peer ${NEAR} dev spillway1`);
  ip(`-n ${NAMESPACE} link set spillway1 up`);
  carry(near, far, shape, random);
  carry(far, near, shape, random);
}

function ip(args: string): void {
  const { status, stderr } = spawnSync("ip", args.split(" "), { encoding: "utf8" });
  if (status !== 0) throw new Error(`ip ${args}: ${stderr}`);
}

function openDevice(name: string): number {
  const { symbols } = dlopen("libc.so.6", {
    ioctl: { args: [FFIType.i32, FFIType.u64, FFIType.ptr], returns: FFIType.i32 },
  });
  const fd = openSync("/dev/net/tun", constants.O_RDWR | constants.O_NONBLOCK);
  const request = Buffer.alloc(40);
  request.write(name, "latin1");
  request.writeUInt16LE(IFF_TUN_NO_PI, 16);
  if (symbols.ioctl(fd, TUNSETIFF, request) === 0) return fd;
  closeSync(fd);
  throw new Error(`cannot make the device ${name}: this takes root`);
}

/** Carries one direction. */
function carry(from: number, to: number, shape: Shape, random: Random): void {
  const packets: { readonly bytes: Buffer; readonly dueMs: number }[] = [];
  let freeAtMs = 0;
  const take = (bytes: Buffer): void => {
    const nowMs = performance.now();
    const waitingBytes = (Math.max(0, freeAtMs - nowMs) * shape.bitsPerSecond) / 8000;
    if (random.next() < shape.loss || waitingBytes > shape.bufferBytes) return;
    freeAtMs = Math.max(freeAtMs, nowMs) + (bytes.length * 8000) / shape.bitsPerSecond;
    packets.push({ bytes, dueMs: freeAtMs + shape.delayMs });
  };
  const buffer = Buffer.alloc(PACKET_BYTES);
  setInterval(() => {
    for (let length = readNow(from, buffer); length > 0; length = readNow(from, buffer)) {
      take(Buffer.from(buffer.subarray(0, length)));
    }
    const nowMs = performance.now();
    while (packets[0] !== undefined && packets[0].dueMs <= nowMs) {
      writeSync(to, packets.shift()!.bytes);
    }
  }, TICK_MS);
}

/** Reads a packet. @returns its length; 0 if there is none. */
function readNow(fd: number, into: Buffer): number {
  try {
    return readSync(fd, into);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return 0;
    throw error;
  }
}

async function measure(settings: Readonly<Record<string, unknown>>): Promise<FarSeen> {
  const nats = await startNatsServer({ websocket: false });
  const config = {
    ...{
      nats_url: nats.url,
      subjects: ["bench.>"],
      host: NEAR,
      policy: "conflate",
      log_level: "info",
    },
    ...settings,
  };
  const gateway = await startGateway(TARGETS.node, { config });
  try {
    await gateway.waitForLog(({ properties }) => properties.event === "source_connected");
    const url = `ws://${NEAR}:${gateway.port}${gateway.path}`;
    const command = [process.execPath, "run", "bench/load/far-reader.ts", url];
    const args = ["ip", "netns", "exec", NAMESPACE, ...command, String(LASTS_MS)];
    const reader = await startProcess("far reader", args, { cwd: ROOT });
    await reader.lines.find(({ text }) => text === "subscribed", "line that says subscribed");
    const writer = await NatsWriter.connect(nats.port, SUBJECT, PAYLOAD_BYTES, SUBJECTS);
    const beganMs = performance.now();
    const publishing = setInterval(() => {
      const due = Math.floor(((performance.now() - beganMs) * RATE) / 1000);
      writer.publish(due - writer.published);
    }, 1);
    const { text } = await reader.lines.find(
      ({ text }) => text.startsWith("{"),
      "line with what the reader saw",
      2 * LASTS_MS,
    );
    clearInterval(publishing);
    return JSON.parse(text) as FarSeen;
  } finally {
    await gateway.stop();
    await nats.stop();
  }
}

await ensureNatsServer();
const shape = { bitsPerSecond: 1e6, delayMs: 100, bufferBytes: 64_000, seed: 1 };
const loss = Number(process.argv[2] ?? 0.02);
openLink({ ...shape, loss });
for (const [name, settings] of [
  ["with marks", {}],
  ["without marks", { mark_interval: "0s" }],
] as const) {
  const { received, ageP50Ms, ageMaxMs, isLost } = await measure(settings);
  const s = (ms: number) => `${(ms / 1000).toFixed(2)} s`;
  const ages = isLost ? "then cut off" : `age p50 ${s(ageP50Ms)}, at most ${s(ageMaxMs)}`;
  process.stdout.write(`${loss * 100} % loss, ${name}: ${received} messages received, ${ages}\n`);
  await sleep(2_000);
}
spawnSync("ip", ["netns", "del", NAMESPACE]);
process.exit();
