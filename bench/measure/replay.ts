import type { Carrier } from "../contenders/contender.ts";
import { KEPT_SUBJECT } from "../load/endpoint.ts";
import type { ReturningTask, ReturnsSeen } from "../load/returning.ts";
import type { Replay } from "../scenario.ts";
import { startLoad } from "./load-process.ts";
import { type Measurement, sharesOf } from "./measurement.ts";

const DEADLINE_MS = 90_000;

/** Has clients come back to the stream of a contender that runs, and looks. */
export async function measureReplay(carrier: Carrier, scenario: Replay): Promise<Measurement> {
  const { endpoint, pids, natsPort } = carrier;
  if (natsPort === undefined) throw new Error("a stream needs NATS");
  const { clients, messages } = scenario;
  const task: ReturningTask = {
    ...endpoint,
    subject: KEPT_SUBJECT,
    pids,
    natsPort,
    clients,
    messages,
  };
  const returning = await startLoad("returning clients", "returning.ts", task);
  try {
    const seen = await returning.next<ReturnsSeen>(DEADLINE_MS);
    const { caughtUpMs, calm, meanwhile, gatewayRssBytes } = seen;
    const whole = sharesOf(seen.whole);
    const { others } = whole.cpuShares;
    return {
      figures: {
        caughtUpMs,
        ...meanwhile,
        calmP50Us: calm.p50Us,
        calmP99Us: calm.p99Us,
        ...(gatewayRssBytes !== undefined && { rssBytes: gatewayRssBytes }),
      },
      cpuShares: { ...sharesOf(seen).cpuShares, ...(others !== undefined && { others }) },
      stealShare: whole.stealShare,
      lostClients: 0,
    };
  } finally {
    await returning.stop();
  }
}
