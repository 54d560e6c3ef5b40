import { setTimeout as sleep } from "node:timers/promises";
import { openShapedLink } from "../../test/support/shaped-link.ts";
import type { Carrier } from "../contenders/contender.ts";
import { SUBJECT } from "../load/endpoint.ts";
import { NatsWriter } from "../load/nats-writer.ts";
import { SlowReader } from "../load/slow-reader.ts";
import type { Slow } from "../scenario.ts";
import { type Measurement, spread } from "../summary.ts";

/** The ages of this last part count. */
const MEASURED_MS = 10_000;
/** A client that is to stop reading does so after this time. */
const STOPS_AFTER_MS = 1_000;
const ASK_MS = 20;

/** Lets messages flow to one client that takes them too slowly. */
export async function measureSlow(
  { endpoint, natsPort }: Carrier,
  scenario: Slow,
  isQuick: boolean,
): Promise<Measurement> {
  const { policy, subjects, changes, payloadBytes, readBytesPerSecond: pace = 0 } = scenario;
  const link = scenario.link && (await openShapedLink(endpoint.port, scenario.link));
  const url = `ws://127.0.0.1:${link?.port ?? endpoint.port}${endpoint.path}`;
  const client = await SlowReader.open(url, endpoint.dialect, policy);
  const nats = await NatsWriter.connect(natsPort!, SUBJECT, payloadBytes, subjects);
  const beganMs = performance.now();
  const passedMs = (): number => performance.now() - beganMs;
  const publish = (): void =>
    nats.publish(Math.floor((passedMs() * subjects * changes) / 1000) - nats.published);
  const publishing = setInterval(publish, 1);
  const lastsMs = isQuick ? scenario.quickMs : scenario.lastsMs;
  try {
    if (pace === 0) {
      await sleep(STOPS_AFTER_MS);
      return { figures: { knownMs: await stopReading(client, endpoint.port, lastsMs) } };
    }
    if (Number.isFinite(pace)) client.raw.readAt(pace);
    await sleep(lastsMs - MEASURED_MS);
    client.agesMs = [];
    await sleep(MEASURED_MS);
    const ages = spread(client.agesMs);
    const { received, isLost } = client;
    if (isLost) return { figures: { received }, lostClients: 1 };
    if (policy === "conflate") {
      return {
        figures: { received, ...(ages && { ageP50Ms: ages.median, ageMaxMs: ages.most }) },
      };
    }
    clearInterval(publishing);
    const accounted = await client.settle(nats.published);
    // Their age says how long the queue is.
    return { figures: { received: client.received, accounted }, complete: accounted === 1 };
  } finally {
    clearInterval(publishing);
    client.raw.destroy();
    await link?.close();
  }
}

/** A client stops reading. @returns the milliseconds until the gateway knows. */
async function stopReading(client: SlowReader, port: number, longestMs: number): Promise<number> {
  const startMs = performance.now();
  client.raw.pause();
  while ((await laggingAt(port)) === 0) {
    if (performance.now() - startMs > longestMs) throw new Error("not known to lag");
    await sleep(ASK_MS);
  }
  return performance.now() - startMs;
}

async function laggingAt(port: number): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  return Number(/^websocket_clients_lagging\S* (\S+)$/m.exec(metrics)?.[1]);
}
