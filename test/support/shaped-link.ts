import { once } from "node:events";
import { createServer, connect as dial, type Socket } from "node:net";

/** The speed and the delay of a link, in each direction. */
export interface LinkShape {
  readonly bitsPerSecond: number;
  /** The time that a byte travels after it was sent. */
  readonly delayMs: number;
  /** The bytes that wait at the link's entrance before its sender is held up. Default: 64 kB. */
  readonly bufferBytes?: number;
}

/** A link to a port on loopback, as `tc netem` makes them, in user space. */
export interface ShapedLink {
  /** The port of its near end. */
  readonly port: number;
  close(): Promise<void>;
}

const BUFFER_BYTES = 64_000;
/** The link's entrance takes as much at a time as fits into a packet. */
const PACKET_BYTES = 1_460;
const TICK_MS = 2;

/** Opens a link; the connections to its near end go to the port. */
export async function openShapedLink(to: number, shape: LinkShape): Promise<ShapedLink> {
  const ends = new Set<Socket>();
  const server = createServer({ noDelay: true }, (near) => {
    const far = dial({ host: "127.0.0.1", port: to, noDelay: true });
    for (const end of [near, far]) {
      ends.add(end);
      end.on("error", () => {});
    }
    const timers = [carry(near, far, shape), carry(far, near, shape)];
    for (const end of [near, far]) {
      end.once("close", () => {
        for (const timer of timers) clearInterval(timer);
        ends.delete(end);
        near.destroy();
        far.destroy();
      });
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as { port: number }).port,
    async close() {
      for (const end of ends) end.destroy();
      await new Promise((closed) => server.close(closed));
    },
  };
}

/** Carries one direction. @returns the timer that moves it on. */
function carry(from: Socket, to: Socket, shape: LinkShape): ReturnType<typeof setInterval> {
  const { bitsPerSecond, delayMs, bufferBytes = BUFFER_BYTES } = shape;
  /** Packets, each with the time at which it has left the entrance. */
  const packets: { readonly bytes: Buffer; readonly leftMs: number }[] = [];
  let freeAtMs = 0;
  let isOver = false;
  /** The bytes that have not left the entrance. */
  const waitingBytes = (nowMs: number): number =>
    (Math.max(0, freeAtMs - nowMs) * bitsPerSecond) / 8000;
  from.on("data", (data: Buffer) => {
    const nowMs = performance.now();
    for (let at = 0; at < data.length; at += PACKET_BYTES) {
      const bytes = data.subarray(at, at + PACKET_BYTES);
      freeAtMs = Math.max(freeAtMs, nowMs) + (bytes.length * 8000) / bitsPerSecond;
      packets.push({ bytes, leftMs: freeAtMs });
    }
    if (waitingBytes(nowMs) > bufferBytes) from.pause();
  });
  from.on("end", () => {
    isOver = true;
  });
  return setInterval(() => {
    const nowMs = performance.now();
    while (packets[0] !== undefined && packets[0].leftMs + delayMs <= nowMs) {
      to.write(packets.shift()!.bytes);
    }
    if (from.isPaused() && waitingBytes(nowMs) <= bufferBytes) from.resume();
    if (isOver && packets.length === 0) to.end();
  }, TICK_MS);
}
