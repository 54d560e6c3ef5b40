/**
 * Prints how many bytes of the heap each of many clients takes, as JSON: `node scripts/bun.js crowd-memory.ts <clients>
 * <same|own>`. A process of its own, so that nothing else is on its heap.
 */
import { heapStats } from "bun:jsc";
import { Harness } from "./harness.ts";

const [clients = "", filters] = process.argv.slice(2);
const crowd = Number(clients);
const harness = new Harness({ maxClients: 2 * crowd, maxUpstreamPatterns: 2 * crowd });
join(0, crowd / 10);
const before = heapBytes();
join(crowd / 10, crowd);
const bytes = (heapBytes() - before) / (crowd * 0.9);
process.stdout.write(JSON.stringify({ bytes }));

function join(from: number, to: number): void {
  for (let client = from; client < to; client++) {
    const subject = filters === "own" ? `user.${client}.orders` : "user.0.orders";
    harness.joinV1().send({ type: "subscribe", id: "1", subjects: [subject] });
  }
}

function heapBytes(): number {
  Bun.gc(true);
  return heapStats().heapSize;
}
