import process from "node:process";
import { connect } from "nats";

/**
 * What stands before the payload in each frame of a control, as long as in one of Spillway's: every
 * contender writes the same number of bytes.
 */
export const HEAD = Buffer.from(
  '{"type":"data","id":"000000000000:000000","timestamp":1700000000000,"subject":"bench.load","payload":',
);
/** What stands behind it. */
export const TAIL = Buffer.from("}");

/** As much is waited for as Spillway does by default, so that both write equally often. */
const FLUSH_INTERVAL_MS = 1;

/** Carries the messages of a NATS server, which the first argument names, in flushes to a control. */
export async function ingest(control: {
  add(data: Uint8Array): void;
  flush(): void;
}): Promise<void> {
  let waiting = false;
  let lastMs = 0;
  const flush = (): void => {
    waiting = false;
    control.flush();
    lastMs = performance.now();
  };
  const nats = await connect({ servers: process.argv[2]! });
  nats.subscribe("bench.>", {
    callback: (_, { data }) => {
      control.add(data);
      if (waiting) return;
      waiting = true;
      const waitMs = lastMs + FLUSH_INTERVAL_MS - performance.now();
      if (waitMs > 0) setTimeout(flush, waitMs);
      else setImmediate(flush);
    },
  });
  await nats.flush();
}

/** Tells the bench that all is ready. */
export function announce(port: number): void {
  process.stdout.write(`${JSON.stringify({ port })}\n`);
}
