import { setTimeout as sleep } from "node:timers/promises";
import { POLICIES, type Policy } from "../src/protocol/fields.ts";
import { openV1, type V1Client } from "../test/support/v1-client.ts";
import { spillway } from "./contenders/spillway.ts";
import { SUBJECT } from "./load/endpoint.ts";
import { NatsWriter } from "./load/nats-writer.ts";
import { nowUs } from "./load/wall-clock.ts";
import { type Cores, rssBytes } from "./machine.ts";

import { hasWords } from "./plan.ts";
import { flow } from "./scenario.ts";

const RATE = 5_000;
const PAYLOAD_BYTES = 1024;
const SUBJECTS = 100;
const LASTS_MS = 7_000;
const STALLS_MS = 1_000;
const RESUMES_MS = 4_500;
const SAMPLE_MS = 100;
/** After the last message, how long it may take until every message is accounted for. */
const SETTLES_MS = 10_000;
const QUEUE_BYTES = 4 * 1024 * 1024;

/** What happened to one client that stopped reading for a while. */
export interface Story {
  readonly policy: Policy;
  /** Seconds since the first message between which it did not read. */
  readonly stalled: readonly [from: number, to: number];
  readonly samples: readonly Sample[];
}

/**
 * The counts at a time: published, received and declared lost; queued for the client; the gateway's memory; how old the
 * newest value is that the client has read.
 */
export type Sample = readonly [
  seconds: number,
  published: number,
  received: number,
  declared: number,
  queuedBytes: number,
  rssBytes: number,
  ageSeconds: number,
];

export const SLOW_CLIENT = "A slow client";
export const ABOUT = `${RATE.toLocaleString("en")} messages/s of 1 KiB on ${SUBJECTS} subjects; one client does not read from ${STALLS_MS / 1000} s to ${RESUMES_MS / 1000} s; its queue takes 4 MiB, after some more in the kernel`;

/**
 * Tells what each policy does with a client that stops reading for a while, on Node.
 *
 * @param only as in `makePlan`.
 */
export async function tellStories(cores: Cores | undefined, only: string): Promise<Story[]> {
  const stories: Story[] = [];
  for (const policy of POLICIES) {
    if (hasWords(only, `${SLOW_CLIENT} ${policy} spillway on node`)) {
      stories.push(await tellStory(policy, cores));
    }
  }
  return stories;
}

/** @throws Error when a message is neither received nor declared lost in the end. */
async function tellStory(policy: Policy, cores: Cores | undefined): Promise<Story> {
  const settings = { policy, max_queue_bytes: QUEUE_BYTES };
  const scenario = flow(1, PAYLOAD_BYTES, RATE, { settings });
  const carrier = await spillway("node", "node").start(cores, scenario, LASTS_MS);
  const { port, path } = carrier.endpoint;
  const reader = new StallingReader(`ws://127.0.0.1:${port}${path}`);
  const samples: Sample[] = [];
  const timers: NodeJS.Timeout[] = [];
  try {
    await reader.open();
    const nats = await NatsWriter.connect(carrier.natsPort!, SUBJECT, PAYLOAD_BYTES, SUBJECTS);
    const beganMs = performance.now();
    const passedMs = (): number => performance.now() - beganMs;
    const publish = setInterval(
      () => nats.publish(Math.floor((passedMs() * RATE) / 1000) - nats.published),
      1,
    );
    timers.push(
      publish,
      setTimeout(() => reader.stall(), STALLS_MS),
      setTimeout(() => reader.resume(), RESUMES_MS),
    );
    for (let at = 0; at <= LASTS_MS + SETTLES_MS; at += SAMPLE_MS) {
      await sleep(Math.max(0, at - passedMs()));
      if (at >= LASTS_MS) clearInterval(publish);
      const queuedBytes = await queuedBytesAt(port);
      const { published } = nats;
      reader.count();
      const { received, declared } = reader;
      const rss = rssBytes(carrier.pids.gateway) ?? 0;
      const age = reader.newestUs === 0 ? 0 : (nowUs() - reader.newestUs) / 1e6;
      samples.push([passedMs() / 1000, published, received, declared, queuedBytes, rss, age]);
      if (at >= LASTS_MS && received + declared >= published) break;
    }
    const [, published, received, declared] = samples.at(-1)!;
    if (received + declared !== published) {
      throw new Error(`${policy}: of ${published}, ${received} came and ${declared} were declared`);
    }
    return { policy, stalled: [STALLS_MS / 1000, RESUMES_MS / 1000], samples };
  } finally {
    for (const timer of timers) clearTimeout(timer);
    reader.close();
    await carrier.stop();
  }
}

async function queuedBytesAt(port: number): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const value = /^websocket_queued_bytes\S* (\S+)$/m.exec(metrics)?.[1];
  if (value === undefined) throw new Error("the gateway does not say what is queued");
  return Number(value);
}

/** A client that can stop reading, and accounts for every message. */
class StallingReader {
  received = 0;
  /** In gaps, and superseded by later values. */
  declared = 0;
  /** The time at which the newest value that it has read was published, in microseconds since 1970; 0: it has read none. */
  newestUs = 0;
  readonly #url: string;
  #client: V1Client | undefined;
  #seen = 0;
  #cursor: unknown;
  #failure: unknown;

  constructor(url: string) {
    this.#url = url;
  }

  /** Resolves when the subscription is in effect. */
  async open(): Promise<void> {
    const client = await openV1(this.#url);
    const from = this.#cursor === undefined ? "new" : { after: this.#cursor };
    await client.subscribe("1", [`${SUBJECT}.>`], { from });
    this.#client = client;
    this.#seen = 0;
    client
      .closed()
      .then(() => this.#reconnect(client))
      .catch((error) => {
        this.#failure = error;
      });
  }

  stall(): void {
    this.#client?.raw.pause();
  }

  resume(): void {
    this.#client?.raw.resume();
  }

  /** Counts what came since the last call. */
  count(): void {
    if (this.#failure !== undefined) throw this.#failure;
    const entries = this.#client?.said.entries ?? [];
    for (; this.#seen < entries.length; this.#seen++) {
      const { type, superseded, count, cursor, payload } = entries[this.#seen]!;
      if (type === "data") {
        this.received++;
        this.declared += Number(superseded ?? 0);
        this.newestUs = Math.max(this.newestUs, (payload as { readonly t: number }).t);
      }
      if (type === "gap") this.declared += Number(count);
      if (type === "disconnect") this.#cursor = cursor;
    }
  }

  close(): void {
    const client = this.#client;
    this.#client = undefined;
    client?.raw.destroy();
  }

  async #reconnect(client: V1Client): Promise<void> {
    if (this.#client === undefined) return;
    await client.until(({ type }) => type === "disconnect", "disconnect");
    this.count();
    await this.open();
  }
}
