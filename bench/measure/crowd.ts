import type { Carrier } from "../contenders/contender.ts";
import type { CrowdSeen, CrowdTask } from "../load/crowd.ts";
import type { Crowd } from "../scenario.ts";
import { spread } from "../summary.ts";
import { SUBJECT } from "./flow.ts";
import { startLoad } from "./load-process.ts";
import { type Measurement, sharesOf } from "./measurement.ts";

const DEADLINE_MS = 60_000;

/** Has very many clients connect to a contender that runs, and looks. */
export async function measureCrowd(carrier: Carrier, scenario: Crowd): Promise<Measurement> {
  const { endpoint, pids, natsPort } = carrier;
  if (natsPort === undefined) throw new Error("a crowd needs NATS to hear from");
  const { clients, atOnce, messages } = scenario;
  const task: CrowdTask = {
    ...endpoint,
    subject: SUBJECT,
    pids,
    natsPort,
    clients,
    atOnce,
    messages,
  };
  const crowd = await startLoad("crowd", "crowd.ts", task);
  try {
    const seen = await crowd.next<CrowdSeen>(DEADLINE_MS);
    const { grownBytes, connectedMs, lastClientMs, failed } = seen;
    // What the kernel does for ten thousand connections is in no process: it is not others' noise.
    const { cpuShares, stealShare } = sharesOf(seen);
    const { others: _, ...ours } = cpuShares;
    return {
      figures: {
        connectedMs,
        ...(grownBytes !== undefined &&
          failed.count < clients && { bytesPerConnection: grownBytes / (clients - failed.count) }),
        ...(lastClientMs.length > 0 && { lastClientMs: spread(lastClientMs).median }),
      },
      cpuShares: ours,
      stealShare,
      lostClients: failed.count,
    };
  } finally {
    await crowd.stop();
  }
}
