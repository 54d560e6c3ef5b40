import { setTimeout as sleep } from "node:timers/promises";
import { POLICIES, type Policy } from "../../src/core/policy.ts";
import type { Contender } from "../contenders/contender.ts";
import { spillway } from "../contenders/spillway.ts";
import { NatsWriter } from "../load/nats-writer.ts";
import { WallClock } from "../load/wall-clock.ts";
import { type Cores, rssBytes } from "../machine.ts";
import { SUBJECT } from "../measure/flow.ts";
import { isMeant } from "../plan.ts";
import { flow } from "../scenario.ts";
import { StallingReader } from "./reader.ts";

const RATE = 5_000;
const PAYLOAD_BYTES = 1024;
const SUBJECTS = 100;
const LASTS_MS = 7_000;
const STALLS_MS = 1_000;
const GOES_ON_MS = 4_500;
const SAMPLE_MS = 100;
/** After the last message, so long it may take until all of them are accounted for. */
const SETTLES_MS = 10_000;
const QUEUE_BYTES = 4 * 1024 * 1024;

/** What became of one client that did not read for a while. */
export interface Story {
  readonly policy: Policy;
  /** Seconds since the first message between which it did not read. */
  readonly stalled: readonly [from: number, to: number];
  readonly samples: readonly Sample[];
}

/**
 * At a time in seconds, how many messages were published, what the client had and was told, and what
 * waited for it and the gateway had in memory.
 */
export type Sample = readonly [
  seconds: number,
  published: number,
  got: number,
  declared: number,
  queuedBytes: number,
  rssBytes: number,
];

/** What is told, for whoever asks for it by a name. */
export const SLOW_CLIENT = "A slow client";

/** How it goes, in a sentence for whoever sees the picture. */
export const ABOUT = `${RATE.toLocaleString("en")} messages/s of 1 KiB on ${SUBJECTS} subjects; one client does not read from ${STALLS_MS / 1000} s to ${GOES_ON_MS / 1000} s; its queue takes 4 MiB, and the kernel some more before it`;

/**
 * What each policy makes of a client that does not read for a while, on Node.
 *
 * @param only as in `makePlan`.
 */
export async function tellStories(cores: Cores | undefined, only = ""): Promise<Story[]> {
  const contender = spillway("node", "node");
  const stories: Story[] = [];
  for (const policy of POLICIES) {
    if (!isMeant(only, `${SLOW_CLIENT} ${policy} ${contender.name}`)) continue;
    stories.push(await tellStory(policy, contender, cores));
  }
  return stories;
}

/** @throws Error when a message is neither had nor declared in the end. */
async function tellStory(
  policy: Policy,
  contender: Contender,
  cores: Cores | undefined,
): Promise<Story> {
  const settings = { policy, max_queue_bytes: QUEUE_BYTES };
  const scenario = flow(1, PAYLOAD_BYTES, RATE, { settings });
  const carrier = await contender.start(cores, scenario, LASTS_MS);
  const { port, path } = carrier.endpoint;
  const reader = new StallingReader(`ws://127.0.0.1:${port}${path}`);
  try {
    await reader.open();
    const clock = new WallClock();
    const nats = await NatsWriter.connect(
      carrier.natsPort!,
      clock,
      SUBJECT,
      PAYLOAD_BYTES,
      SUBJECTS,
    );
    const samples: Sample[] = [];
    const beganMs = performance.now();
    const passedMs = (): number => performance.now() - beganMs;
    const sample = async (): Promise<void> => {
      const queuedBytes = await queuedBytesAt(port);
      const { published } = nats;
      reader.tally();
      const { got, declared } = reader;
      const rss = rssBytes(carrier.pids.gateway) ?? 0;
      samples.push([passedMs() / 1000, published, got, declared, queuedBytes, rss]);
    };
    const timers = [
      setInterval(() => nats.publish(Math.floor((passedMs() * RATE) / 1000) - nats.published), 1),
      setTimeout(() => reader.stall(), STALLS_MS),
      setTimeout(() => reader.goOn(), GOES_ON_MS),
    ];
    try {
      for (let at = 0; at <= LASTS_MS; at += SAMPLE_MS) {
        await sleep(Math.max(0, at - passedMs()));
        await sample();
      }
    } finally {
      for (const timer of timers) clearTimeout(timer);
    }
    while (reader.got + reader.declared < nats.published && passedMs() < LASTS_MS + SETTLES_MS) {
      await sleep(SAMPLE_MS);
      await sample();
    }
    const { published } = nats;
    if (reader.got + reader.declared !== published) {
      const { got, declared } = reader;
      throw new Error(`${policy}: of ${published}, ${got} were had and ${declared} declared`);
    }
    return { policy, stalled: [STALLS_MS / 1000, GOES_ON_MS / 1000], samples };
  } finally {
    reader.close();
    await carrier.stop();
  }
}

async function queuedBytesAt(port: number): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const value = /^websocket_queued_bytes\S* (\S+)$/m.exec(metrics)?.[1];
  if (value === undefined) throw new Error("the gateway does not say what waits");
  return Number(value);
}
