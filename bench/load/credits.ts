import { createServer } from "node:net";
import { dial } from "./nats-writer.ts";

const EVERY_MS = 1;
/**
 * So much work is kept under way when there is no rate: enough for nobody to wait for more. With
 * more of it, the load client would read what is no longer in the processor's cache, half as fast.
 */
const UNDER_WAY_MS = 50;
const FEWEST_UNDER_WAY = 64;
/** The pace is looked at this often. */
const PACE_MS = 50;

/**
 * Tells a publisher that connects how far the slowest client is, in 4 bytes each.
 *
 * @param received how many messages that client has got.
 * @returns the port to connect to.
 */
export async function tellCredits(received: () => number): Promise<number> {
  const server = createServer((socket) => {
    const bytes = Buffer.alloc(4);
    socket.on("error", () => {}); // A publisher that has finished.
    setInterval(() => {
      bytes.writeUInt32LE(received());
      socket.write(bytes);
    }, EVERY_MS);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as { port: number }).port;
}

/** Follows that, and says how many messages may be published so that the work under way stays the same. */
export async function followCredits(port: number): Promise<() => number> {
  const credits = await dial(port);
  let received = 0;
  let window = FEWEST_UNDER_WAY;
  let seen = { received: 0, ms: performance.now() };
  credits.on("data", (chunk: Buffer) => {
    if (chunk.length < 4) return;
    received = chunk.readUInt32LE((chunk.length - 4) & ~3);
    const nowMs = performance.now();
    if (nowMs - seen.ms < PACE_MS) return;
    const perMs = (received - seen.received) / (nowMs - seen.ms);
    window = Math.max(FEWEST_UNDER_WAY, Math.ceil(perMs * UNDER_WAY_MS));
    seen = { received, ms: nowMs };
  });
  return () => received + window;
}
