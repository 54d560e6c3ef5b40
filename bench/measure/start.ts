import { setTimeout as sleep } from "node:timers/promises";
import type { Carrier } from "../contenders/contender.ts";
import { rssBytes } from "../machine.ts";
import type { Measurement } from "./measurement.ts";

/** So long it is left alone before its memory is looked at. */
const SETTLE_MS = 700;

/** Looks at a contender that has just started. */
export async function measureStart({ readyMs, pids }: Carrier): Promise<Measurement> {
  await sleep(SETTLE_MS);
  const bytes = rssBytes(pids.gateway);
  return {
    figures: { readyMs, ...(bytes !== undefined && { rssBytes: bytes }) },
    cpuShares: {},
    stealShare: 0,
    lostClients: 0,
  };
}
