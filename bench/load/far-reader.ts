/**
 * A process with one client, with `conflate`, as fast as its link lets it: `far-reader.ts <url> <milliseconds>`. It prints
 * `subscribed`, and at the end one line of JSON: {@linkcode FarSeen}.
 */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { spread } from "../summary.ts";
import { SlowReader } from "./slow-reader.ts";

/** The ages of this last part count. */
const MEASURED_MS = 10_000;

/** The messages that the client has seen. */
export interface FarSeen {
  readonly received: number;
  /** From the stamp in a message until the client has read it. */
  readonly ageP50Ms: number;
  readonly ageMaxMs: number;
  /** Whether the connection ended. */
  readonly isLost: boolean;
}

const [url = "", lastsMs = ""] = process.argv.slice(2);
const client = await SlowReader.open(url, "v1", "conflate");
process.stdout.write("subscribed\n");
await sleep(Number(lastsMs) - MEASURED_MS);
client.agesMs = [];
await sleep(MEASURED_MS);
const { received, agesMs, isLost } = client;
const { median = Number.NaN, most = Number.NaN } = spread(agesMs) ?? {};
const seen: FarSeen = { received, ageP50Ms: median, ageMaxMs: most, isLost };
process.stdout.write(`${JSON.stringify(seen)}\n`);
process.exit();
