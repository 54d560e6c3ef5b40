import type { Carrier } from "../contenders/contender.ts";
import type { Published, PublisherTask } from "../load/publisher.ts";
import type { Observed, Ready, SubscriberTask } from "../load/subscribers.ts";
import type { Flow, Timing } from "../scenario.ts";
import { startLoad } from "./load-process.ts";
import { type Delivered, type Measurement, sharesOf } from "./measurement.ts";

export const SUBJECT = "bench.load";
/** So much longer than what is measured is published. */
const MARGIN_MS = 200;

/** The load client itself gives up earlier, and says why. */
const CONNECT_MS = 30_000;

/** How long messages flow. */
export function flowMs(scenario: Flow, timing: Timing): number {
  return timing.warmUpMs + (scenario.measureMs ?? timing.measureMs) + MARGIN_MS;
}

/** Loads a contender that runs with messages, and looks. */
export async function measureFlow(
  carrier: Carrier,
  scenario: Flow,
  timing: Timing,
): Promise<Measurement> {
  const { endpoint, pids } = carrier;
  const task: SubscriberTask = {
    ...endpoint,
    pids,
    subject: SUBJECT,
    ...interests(scenario),
    clients: scenario.clients,
    stalled: scenario.stalled ?? 0,
    sampleEvery: sampleEvery(scenario),
    warmUpMs: timing.warmUpMs,
    measureMs: scenario.measureMs ?? timing.measureMs,
  };
  const subscribers = await startLoad("load client", "subscribers.ts", task);
  try {
    const { creditPort } = await subscribers.next<Ready>(CONNECT_MS);
    const published = await publish(carrier, scenario, flowMs(scenario, timing), creditPort);
    return judge(scenario, await subscribers.next<Observed>(), published);
  } finally {
    await subscribers.stop();
  }
}

/** What clients want and offer. */
function interests({ subjects, wildcard, deflate, acks }: Flow) {
  return {
    ...(acks !== undefined && { acks }),
    ...(subjects !== undefined && { subjects }),
    ...(wildcard !== undefined && { wildcard }),
    ...(deflate !== undefined && { deflate }),
  };
}

/** Some ten thousand samples are enough, and looking at millions costs the load client a fifth of its speed. */
function sampleEvery({ clients, rate }: Flow): number {
  return rate === undefined || clients * rate >= 1_000_000 ? 128 : 16;
}

/** `undefined` where the contender makes its messages itself. */
async function publish(
  { natsPort }: Carrier,
  { payloadBytes, rate, subjects }: Flow,
  durationMs: number,
  creditPort: number,
): Promise<Published | undefined> {
  if (natsPort === undefined) return undefined;
  const publisher = await startLoad("publisher", "publisher.ts", {
    port: natsPort,
    subject: SUBJECT,
    payloadBytes,
    ...(subjects !== undefined && { subjects }),
    ...(rate !== undefined && { rate }),
    durationMs,
    creditPort,
  } satisfies PublisherTask);
  try {
    return await publisher.next<Published>();
  } finally {
    await publisher.stop();
  }
}

function judge(scenario: Flow, seen: Observed, published: Published | undefined): Measurement {
  const { seconds, deliveries, latencyUs, gatewayRssBytes } = seen;
  const { gateway } = seen.cpuSeconds;
  const publisher = published && published.cpuSeconds * (seconds / published.seconds);
  return {
    figures: {
      deliveriesPerSecond: deliveries / seconds,
      ...(latencyUs.samples > 0 && { p50Us: latencyUs.p50, p99Us: latencyUs.p99 }),
      ...(gateway !== undefined &&
        deliveries > 0 && { cpuUsPerDelivery: (gateway * 1e6) / deliveries }),
      ...(gatewayRssBytes !== undefined && { rssBytes: gatewayRssBytes }),
    },
    ...sharesOf(seen, publisher === undefined ? {} : { publisher }),
    delivered: deliveredOf(scenario, seen, published),
    lostClients: seen.lost.count,
  };
}

/** In relation to what was offered: NATS holds a publisher up whose messages it can't pass on. */
function deliveredOf(
  { clients, stalled = 0, rate, subjects = 1 }: Flow,
  { seconds, deliveries, received }: Observed,
  published: Published | undefined,
): Delivered {
  const meant = published && Math.floor(published.messages / subjects);
  const everything = received.fewest >= (meant ?? received.most);
  if (rate === undefined) return { share: 1, complete: everything };
  const heldUp = published !== undefined && published.messages < 0.99 * rate * published.seconds;
  return {
    share: deliveries / (((rate * seconds) / subjects) * (clients - stalled)),
    complete: everything && !heldUp,
  };
}
